"""A whole swarm on one machine, to watch: an origin, a supernode and peers, all real.

Shows what the programs really do, so it talks to them as anyone would: over their command lines,
their HTTP and what they print. Owns every process it starts, and one temporary directory.
"""
