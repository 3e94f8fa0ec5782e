"""Sockets: what the kernel knows of them, the direct transports, and the base of a layer on a transport."""
