"""Snapshot: the counts of a service at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from twisted.logger import Logger

log = Logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The counts of a service since it was made.

    :param open: open connections, with the pending ones.
    :param accepted: connections that were served, with the open ones.
    :param refused: refused peers, by reason. A peer is reset for ``denied``, ``max-connections``,
        ``max-connections-per-peer``, ``descriptors``, ``untrusted-proxy``, ``bad-header`` and
        ``too-many-logins``. It is told the reason for ``login``, ``bad-login``, ``checker`` and
        ``bad-preamble``.
    :param timedOut: connections that a time-out ended, by reason: ``idle``, ``stall``, ``header``, ``auth``.
    :param aborted: connections that a stop reset.
    :param lost: connections that ended with an error, such as a peer's reset.
    :param failed: TLS connections with an incomplete handshake or a breach of TLS's rules, by reason.
    :param truncated: TLS connections that the peer ended by FIN without ``close_notify``.
    :param answered: datagrams with an answer.
    :param dropped: datagrams without an answer, by reason.
    :param unanswered: requests without an answer of a responder, by reason: ``error`` and ``timeout`` are
        failures of the responder, ``too-long``, ``incomplete`` and ``bad-request`` errors of the peer.
    """

    open: int = 0
    accepted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    timedOut: dict[str, int] = field(default_factory=dict)
    aborted: int = 0
    lost: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    truncated: int = 0
    answered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    unanswered: dict[str, int] = field(default_factory=dict)


def logAtStop(counts: Snapshot, hasTLS: bool) -> None:
    """Logs the sums in a line, when the service stops.

    :param hasTLS: add the counts of TLS.
    """
    log.info(
        "echo_app stopped: {counts.accepted} connections ({refused} refused, {timedOut} timed out, "
        "{counts.aborted} aborted, {counts.lost} lost{tls}), "
        "{counts.answered} datagrams ({dropped} dropped)",
        counts=counts,
        tls=f", {sum(counts.failed.values())} failed, {counts.truncated} truncated" if hasTLS else "",
        refused=sum(counts.refused.values()),
        timedOut=sum(counts.timedOut.values()),
        dropped=sum(counts.dropped.values()),
    )
