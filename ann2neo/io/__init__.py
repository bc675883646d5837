"""Neo blocks and NWB files."""
