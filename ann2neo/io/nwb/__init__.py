"""NWB files: the only place that imports pynwb."""
