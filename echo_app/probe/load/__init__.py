"""Generator of load: worker processes, their connections, and their measurements."""
