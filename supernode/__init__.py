"""A supernode: fetches files once, tracks every piece, seeds the first copies, shows its work."""
