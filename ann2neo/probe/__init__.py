"""Record networks: stimuli, thresholds, units. No framework is imported here; each has
an adapter in a package of its name.
"""
