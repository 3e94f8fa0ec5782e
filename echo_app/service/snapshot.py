"""Snapshot: the counts of a service at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from twisted.logger import Logger

log = Logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What was counted since the service was made.

    :param open: connections open now, those whose header or login is pending included.
    :param accepted: connections that were served, the open ones included.
    :param refused: peers that were reset, by reason: ``denied``, ``max-connections``,
        ``max-connections-per-peer``, ``descriptors``, ``untrusted-proxy``, ``bad-header``,
        ``too-many-logins``; and those that were told why: ``login``, ``bad-login``, ``checker``,
        ``bad-preamble``.
    :param timedOut: connections that were cut off, by reason: ``idle``, ``stall``, ``header``, ``auth``.
    :param aborted: connections that a stop cut off.
    :param lost: connections that ended with an error, such as a peer's reset.
    :param failed: TLS connections whose handshake was not completed or that broke TLS's rules, by reason.
    :param truncated: TLS connections whose peers ended by FIN without ``close_notify``.
    :param answered: datagrams that were sent back.
    :param dropped: datagrams that were not, by reason.
    :param unanswered: requests that a responder did not answer, by reason: ``error`` and ``timeout`` are the
        responder's, ``too-long``, ``incomplete`` and ``bad-request`` the peer's.
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
    """Logs the sums, in a line.

    :param hasTLS: whether there was TLS that could fail.
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
