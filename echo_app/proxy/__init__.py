"""The PROXY protocol: who a connection is from, when a proxy forwards it."""
