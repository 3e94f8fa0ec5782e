"""Snapshot of a service: its counts at one moment, their line at the stop, and the open connections."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The counts of a service since it was made.

    :param open: open connections, with the pending ones.
    :param accepted: connections that were served, with the open ones.
    :param refused: refused peers, by reason. A peer is reset for ``denied``, ``max-connections``,
        ``max-connections-per-peer``, ``descriptors``, ``untrusted-proxy``, ``bad-header``, ``no-login`` and
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
    :param unreached: forwarded connections and datagram sessions whose upstream could not be reached, by
        reason: ``refused``, ``timeout``, ``unreachable``, ``unresolved``, ``descriptors``, ``evicted``,
        ``lost``, or ``error``.
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
    unreached: dict[str, int] = field(default_factory=dict)

    def summary(self, hasTLS: bool) -> str:
        """Returns the sums, in a line.

        :param hasTLS: whether there was TLS that could fail.
        """
        tls = f", {sum(self.failed.values())} failed, {self.truncated} truncated" if hasTLS else ""
        return (
            f"{self.accepted} connections ({sum(self.refused.values())} refused, "
            f"{sum(self.timedOut.values())} timed out, {self.aborted} aborted, {self.lost} lost{tls}), "
            f"{self.answered} datagrams ({sum(self.dropped.values())} dropped)"
        )


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """An open connection at one moment.

    :param number: in the order of admission; None while a PROXY header is pending.
    :param listener: the address of the listener.
    :param peer: the peer's address; behind a PROXY header, the client's.
    :param user: the user who logged in; None without a login.
    :param isServed: False while a gate reads its prefix.
    :param faults: the faults of the connection.
    :param received: bytes from the peer, those of TLS included; None where the kernel does not count.
    :param sent: bytes that the peer has acknowledged.
    :param owed: bytes in the kernel's queue to the peer.
    :param held: bytes that a fault holds back.
    """

    number: int | None
    listener: str
    peer: str
    user: str | None
    isServed: bool
    faults: list[str]
    received: int | None
    sent: int | None
    owed: int | None
    held: int | None
