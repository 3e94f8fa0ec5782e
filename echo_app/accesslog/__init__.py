"""The access log: a line for each connection, and where lines go."""
