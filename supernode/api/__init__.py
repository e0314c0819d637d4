"""Faces over the tracker: the specification's REST operations."""
