"""``supernode preheat``: has a supernode fetch an image or a file, and shows how that goes.

Talks to the supernode over HTTP, as anybody could; knows nothing of the server's insides.
"""
