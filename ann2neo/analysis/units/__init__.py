"""Statistics of single units."""
