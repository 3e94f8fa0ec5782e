"""Tests of a real service: in a process of its own, over real sockets, with other people's clients."""
