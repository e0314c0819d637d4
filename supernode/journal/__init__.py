"""The journal: what must survive the process, in SQLite, as tables of current state."""
