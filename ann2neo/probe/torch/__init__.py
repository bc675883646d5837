"""The adapter for networks of PyTorch."""
