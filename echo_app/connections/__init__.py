"""Connections: admission and limits, time-outs, gates before a stream, the drain, and the record."""
