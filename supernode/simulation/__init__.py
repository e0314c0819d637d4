"""Virtual peers and links over the real tracker, on a virtual clock.

Owns no scheduling of its own: what is asked and answered is the production core's, and a virtual
peer asks as the built-in one does. Nothing here waits, reads a clock or touches a network.
"""
