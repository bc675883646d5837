"""Patterns: which units fire for one sample, the columns of the raster."""
