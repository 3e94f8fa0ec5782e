"""Connections: who is admitted, limits, time-outs, gates before a stream, the drain, and the record."""
