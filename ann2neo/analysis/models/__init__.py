"""Stochastic processes: fitted to units, and simulated."""
