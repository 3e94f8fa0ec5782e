"""The echo over UDP: protocol, rules and port."""
