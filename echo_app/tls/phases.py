"""Phases of a TLS connection; each leads to later ones only.

- ``HANDSHAKE``: written data waits until the handshake is complete (:mod:`echo_app.tls.handshake`).
- ``OPEN``: data goes both ways, until our end.
- ``ENDED``: our ``close_notify`` is sent; the peer may go on.
- ``DONE``: no more data is passed on; the connection below has not ended yet.

The peer ends its side by ``close_notify`` or FIN, in any phase.
"""

from __future__ import annotations

from enum import Enum, auto


class TLSPhase(Enum):
    """The phase of one connection."""

    HANDSHAKE = auto()
    OPEN = auto()
    ENDED = auto()
    DONE = auto()
