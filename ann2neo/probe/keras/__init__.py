"""The adapter for Keras networks, on TensorFlow or JAX."""
