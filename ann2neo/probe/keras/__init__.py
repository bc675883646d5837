"""The adapter for Keras networks, on TensorFlow, JAX or PyTorch."""
