"""The position of a spike in its time bin."""

__all__ = ["SPIKE_POSITION"]

SPIKE_POSITION = 0.25
"""Position of a spike in its bin, in bins.

A quarter of a bin is the one position that Elephant, Neo, SpikeInterface and the NWB
Inspector all read exactly.
"""
