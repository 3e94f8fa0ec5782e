"""The generator of load: worker processes, their connections, and what they measure."""
