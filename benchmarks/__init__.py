"""What an echo costs the server, beside the servers that its users would write otherwise.

``bin/benchmark`` runs it from a checkout. ``servers/`` has the peers, ``load.c`` (with ``load_tls.h`` over
TLS) the load that checks every byte, ``probeload.py`` what does so without a compiler, ``rows.py`` what is
measured and what was promised, and ``performance.rst.in`` the page that is made of the results.
"""
