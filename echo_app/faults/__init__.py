"""How to misbehave on purpose."""
