"""The echo over a stream: protocol and factory."""
