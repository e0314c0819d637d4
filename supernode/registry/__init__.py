"""What an OCI or Docker registry says an image consists of, and how we prove who we are to it.

``client.Registries`` is the way in: a ``reference`` becomes an ``image``, a list of blobs to fetch.
"""
