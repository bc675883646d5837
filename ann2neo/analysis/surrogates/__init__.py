"""Surrogates of recordings, and tests against them."""
