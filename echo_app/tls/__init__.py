"""TLS, exact at the end of a stream."""
