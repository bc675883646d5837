"""Rasters: which unit spiked in which time bin, at one bit per cell.

Only this package knows how bits are packed: along time, first bin in the lowest bit,
every row zero-padded to whole 64-bit words, so that counting spikes needs nothing but
AND, shift and popcount.
"""

from ann2neo.raster.builder import RasterBuilder
from ann2neo.raster.carried import CarriedRaster, mapped_bits
from ann2neo.raster.permuter import BinPermuter
from ann2neo.raster.segmented import SegmentedRaster
from ann2neo.raster.spike_raster import SpikeRaster
from ann2neo.raster.spike_times import SPIKE_POSITION

__all__ = [
    "SPIKE_POSITION",
    "BinPermuter",
    "CarriedRaster",
    "RasterBuilder",
    "SegmentedRaster",
    "SpikeRaster",
    "mapped_bits",
]
