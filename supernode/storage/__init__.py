"""Where bytes stay: the piece files, in Dragonfly v1's layout on disk."""
