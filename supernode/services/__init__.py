"""The long-running children of the daemon: they read from the tracker what is to be done."""
