"""Recordings on their way to another process."""

from __future__ import annotations

import copy

from ann2neo.raster import CarriedRaster
from ann2neo.recording.recording import Recording

__all__ = ["CarriedRecording"]


class CarriedRecording:
    """A recording that is cheap to send to another process, as `CarriedRaster` is.

    Parameters
    ----------
    recording : Recording
        The recording; its tables travel along.
    """

    def __init__(self, recording: Recording) -> None:
        self._carried = CarriedRaster(recording.raster)
        self._tables = copy.copy(recording)
        # A frozen dataclass lets go of no attribute by itself.
        object.__setattr__(self._tables, "raster", None)

    def open(self) -> Recording:
        """Return the recording; errors are those of `CarriedRaster.open`."""
        recording = copy.copy(self._tables)
        object.__setattr__(recording, "raster", self._carried.open())
        return recording
