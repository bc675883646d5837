"""Statistics over trials and repeats."""
