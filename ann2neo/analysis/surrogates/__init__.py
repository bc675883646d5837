"""Surrogates, and tests against them."""
