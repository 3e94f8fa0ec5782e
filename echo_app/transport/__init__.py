"""Transports: socket options and counts of the kernel, the direct path, and the base class of layers."""
