"""Benchmark: the cost of an echo to the server, compared with the servers that users would write otherwise.

``bin/benchmark`` runs it from a checkout. ``servers/`` has the peers. ``load.c`` is the load, which
checks every byte, and ``probeload.py`` a load without a compiler. ``rows.py`` has the rows and the targets,
``estimates.py`` the arithmetic of ratios, and ``performance.rst.in`` the template of the page.

``python -m benchmarks.relays`` shows what relays do at half-close, reset and back-pressure, and measures no
CPU time.
"""
