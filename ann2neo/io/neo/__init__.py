"""Neo blocks: of recordings, and of other people's sessions."""
