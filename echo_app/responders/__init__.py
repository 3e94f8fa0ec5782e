"""Responders: answers other than the echo."""
