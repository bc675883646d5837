"""Statistics of whole networks, and comparisons between them."""
