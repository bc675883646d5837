"""Recordings: spikes with their units, presentations and phases."""

from ann2neo.recording.recording import Recording, checked_recording

__all__ = ["Recording", "checked_recording"]
