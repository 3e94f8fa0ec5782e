"""Forwarding: a stream goes on to a service that is not ours, and its answers come back."""
