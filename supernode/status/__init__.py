"""``supernode status``: what a supernode does, on one screen.

Talks to the supernode over HTTP, as anybody could; knows nothing of the server's insides.
"""
