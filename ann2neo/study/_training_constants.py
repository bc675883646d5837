"""What every trainer of the study does alike."""

__all__ = ["BATCH_SIZE", "LEARNING_RATE"]

LEARNING_RATE = 0.1
BATCH_SIZE = 256
