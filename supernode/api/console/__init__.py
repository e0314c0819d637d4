"""The console: a page in which an operator sees the swarm, and the files that it is made of."""
