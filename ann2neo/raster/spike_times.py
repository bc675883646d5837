"""Where in its time bin a spike lies."""

__all__ = ["SPIKE_POSITION"]

SPIKE_POSITION = 0.25
"""Where in its bin a spike lies, in bins: the one place that Elephant, Neo,
SpikeInterface and the NWB Inspector all read exactly.
"""
