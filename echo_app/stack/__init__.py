"""The stack of a connection: the order of all layers from its socket to its protocol."""
