"""The zoo: network paths with one known fault each, to measure the conclusions of ``echo-probe check``.

``python -m tests.zoo list`` prints the paths. ``run`` lets the probe examine them, and prints its conclusions
beside the fault that was planted. ``verify`` measures each fault with a plain client, without the probe.
``serve`` opens one path until Ctrl-C.
"""
