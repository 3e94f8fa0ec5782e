"""TLS with two independent ends of the stream."""
