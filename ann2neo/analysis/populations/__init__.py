"""Statistics of populations: correlations between units, and their tuning."""
