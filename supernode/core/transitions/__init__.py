"""What each command does: checked first, then carried out as events.

From the first event on nothing can go wrong, so an error means that nothing changed.
"""
