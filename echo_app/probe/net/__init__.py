"""The client's side of the network: sockets, TLS and datagrams, with bounded waits."""
