"""The flight recorder: the last commands that entered the core, kept so that they can be replayed.

The core is a function of its state, its commands, the time and chance. So a snapshot of the state
and of chance, with the commands since then and their times, is all that it takes to see again, on
another machine, whatever went wrong.
"""
