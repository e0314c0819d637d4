"""The built-in peer: downloads a file from the swarm and gives what it has to others.

Two processes: ``dfget`` returns as soon as the output is in place; one detached *uploader* per home
directory goes on sharing. Imports the core's formats only and nothing of the server.
"""
