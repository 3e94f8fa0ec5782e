"""Facts of the connection to an upstream, for the access log: the counts before its socket is closed."""

from __future__ import annotations

from functools import partial
from termios import FIONREAD
from typing import TYPE_CHECKING

from echo_app.addresses import describe
from echo_app.connections.record import UpstreamFacts
from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.layer import bottomOf
from echo_app.transport.sockets import descriptorOf, isTCP, queued, socketOf
from echo_app.transport.tcpinfo import TCPInfo

if TYPE_CHECKING:
    from echo_app.forward.legs import Leg


def upstreamFactsOf(leg: Leg, connectSeconds: float) -> UpstreamFacts:
    """Returns the facts of an upstream's leg.

    :param connectSeconds: time from the client's connection to this one.
    """
    facts = UpstreamFacts(describe(leg.transport.getPeer()), round(connectSeconds, 6))
    facts.look = partial(_look, leg, facts)
    bottom = bottomOf(leg.transport)
    if isinstance(bottom, CarryingTransport):
        bottom.beforeClose = facts.look
    return facts


def _look(leg: Leg, facts: UpstreamFacts) -> None:
    """Reads the counts of the upstream's leg, if it is open."""
    sock = socketOf(leg.transport)
    if sock is None or sock.fileno() < 0:
        return
    if isTCP(sock):
        info = TCPInfo.of(sock)
        facts.received = info.streamIn(leg.isInputEnded, None)
        sent, _ = info.streamOut(leg.isOutputEnded)
        # The kernel also counts the SYN of a connection that we began.
        facts.sent = sent - 1
        facts.rtt, facts.retransmits = info.rtt, info.retransmits
    else:
        counting = descriptorOf(leg.transport)
        facts.received, facts.sent = counting.received + queued(sock, FIONREAD), counting.written
