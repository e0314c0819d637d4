"""The pure core: a state machine without I/O, clock or chance of its own.

Commands go in through :class:`supernode.core.tracker.Tracker`, answers and events come out.
"""
