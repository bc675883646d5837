"""What units do together, and what they are tuned to."""
