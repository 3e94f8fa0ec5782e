"""Faults: errors of connections, datagrams and listeners that a service makes on purpose."""
