"""Statistics of recordings: one table of statistics, a fast and a reference engine."""
