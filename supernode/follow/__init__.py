"""``supernode events``: follow what happens at a supernode, wherever it is."""
