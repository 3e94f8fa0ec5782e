"""The service: listeners, states, counts."""
