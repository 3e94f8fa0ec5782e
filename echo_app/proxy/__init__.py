"""The PROXY protocol: the client's address, as a proxy states it."""
