"""Errors of connections, messages and datagrams: one vocabulary of all commands of the probe.

An :class:`ErrorKind` is compared, counted and printed. A :class:`Reason` is a kind with what the system or
OpenSSL says beyond it, and the only place where a text about an error is made.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum

from twisted.internet import error as twistedErrors

from echo_app.probe.net.waits import NothingCame


class ErrorKind(Enum):
    """How something fails or ends; the text is what is printed."""

    # A connection is not made.
    UNRESOLVED = "the name does not resolve"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMED_OUT = "connect timed out"
    NO_LOCAL_ADDRESS = "no local address or port is free"
    BACKLOG_FULL = "backlog full"
    NO_SOCKET = "no such socket"
    OUT_OF_DESCRIPTORS = "out of descriptors"

    # A TLS handshake fails, or TLS does later.
    CERTIFICATE = "TLS: certificate"
    CERTIFICATE_REFUSED = "TLS: the peer refuses our certificate"
    NO_TLS = "no TLS"
    HANDSHAKE_FIN = "TLS: FIN in the handshake"
    HANDSHAKE_RESET = "TLS: reset in the handshake"
    HANDSHAKE_TIMED_OUT = "TLS: timed out in the handshake"
    TLS = "TLS"

    # A connection ends.
    FIN = "FIN"
    CLOSE_NOTIFY = "close_notify"
    TRUNCATED = "FIN without close_notify"
    RESET = "reset"
    NO_END = "no end"

    # A message or a datagram is not answered as it was sent.
    TIMED_OUT = "timed out"
    NOT_SENT = "not sent in time"
    LOST = "lost"
    DUPLICATE = "duplicate"
    CORRUPT = "corrupt"
    SURPLUS = "surplus"

    # The detail says all.
    OTHER = ""

    @property
    def isTimeOut(self) -> bool:
        """Says whether the peer was silent for too long."""
        return self in _TIME_OUTS

    def __str__(self) -> str:
        return self.value


# Alerts about a client's certificate (RFC 8446, 6.2): under TLS 1.3 they come after our handshake.
_REFUSALS = re.compile(
    "(?:TLSV1|TLSV13|SSLV3)_ALERT_("
    "CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED|CERTIFICATE_EXPIRED|"
    "CERTIFICATE_UNKNOWN|UNKNOWN_CA|ACCESS_DENIED)"
)

# The ends by which a service refuses a connection that it has accepted.
_ENDS = (ErrorKind.FIN, ErrorKind.RESET, ErrorKind.HANDSHAKE_FIN, ErrorKind.HANDSHAKE_RESET)

_TIME_OUTS = (ErrorKind.CONNECT_TIMED_OUT, ErrorKind.HANDSHAKE_TIMED_OUT, ErrorKind.TIMED_OUT)

_CONNECTING = {ErrorKind.TIMED_OUT: ErrorKind.CONNECT_TIMED_OUT}

_SHAKING = {
    ErrorKind.FIN: ErrorKind.HANDSHAKE_FIN,
    ErrorKind.RESET: ErrorKind.HANDSHAKE_RESET,
    ErrorKind.TIMED_OUT: ErrorKind.HANDSHAKE_TIMED_OUT,
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something failed or ended.

    :param detail: what is known beyond the kind, in a few words; it is printed behind it.
    """

    kind: ErrorKind
    detail: str = ""

    @property
    def whileConnecting(self) -> Reason:
        """The same, where a connection is not there yet."""
        return replace(self, kind=_CONNECTING.get(self.kind, self.kind))

    @property
    def inHandshake(self) -> Reason:
        """The same, where a TLS handshake is under way."""
        return replace(self, kind=_SHAKING.get(self.kind, self.kind))

    def __str__(self) -> str:
        between = " " if self.kind.isTimeOut else ": "
        return between.join(filter(None, (str(self.kind), self.detail)))


class NetworkError(OSError):
    """A connection can't be made, or is broken.

    :ivar reason: why.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


_KINDS = {
    errno.ECONNREFUSED: ErrorKind.REFUSED,
    errno.ECONNRESET: ErrorKind.RESET,
    errno.EPIPE: ErrorKind.RESET,
    errno.ENOTCONN: ErrorKind.RESET,
    errno.ETIMEDOUT: ErrorKind.TIMED_OUT,
    errno.EHOSTUNREACH: ErrorKind.UNREACHABLE,
    errno.ENETUNREACH: ErrorKind.UNREACHABLE,
    errno.EADDRNOTAVAIL: ErrorKind.NO_LOCAL_ADDRESS,
    # connect(2) to a UNIX socket.
    errno.EAGAIN: ErrorKind.BACKLOG_FULL,
    errno.ENOENT: ErrorKind.NO_SOCKET,
    errno.EMFILE: ErrorKind.OUT_OF_DESCRIPTORS,
    errno.ENFILE: ErrorKind.OUT_OF_DESCRIPTORS,
}

_CLASSES: tuple[tuple[type[BaseException], Reason], ...] = (
    (twistedErrors.ConnectionRefusedError, Reason(ErrorKind.REFUSED)),
    (twistedErrors.NoRouteError, Reason(ErrorKind.UNREACHABLE)),
    (twistedErrors.TimeoutError, Reason(ErrorKind.TIMED_OUT)),
    (twistedErrors.DNSLookupError, Reason(ErrorKind.UNRESOLVED)),
    (socket.gaierror, Reason(ErrorKind.UNRESOLVED)),
    (twistedErrors.UserError, Reason(ErrorKind.OTHER, "not an address to connect to")),
)


def hintOf(errors: Collection[str], isTLS: bool) -> str:
    """Returns the likely causes, where nothing was answered, and connections ended instead; else empty.

    :param errors: their kinds.
    """
    if not errors or not set(errors) <= set(map(str, _ENDS)):
        return ""
    wants = "a PROXY header" if isTLS else "TLS (tls://) or a PROXY header"
    return f"every connection was ended before a byte came back: the service may be full, or want {wants}"


def timedOut(seconds: float) -> Reason:
    """Returns the reason of a wait that ended after some seconds without a byte."""
    return Reason(ErrorKind.TIMED_OUT, f"after {seconds:g} s")


def reasonOfNumber(number: int) -> Reason:
    """Returns the reason that a number of errno(3) stands for."""
    kind = _KINDS.get(number)
    return Reason(kind) if kind else Reason(ErrorKind.OTHER, os.strerror(number).lower())


def reasonOf(error: BaseException) -> Reason:
    """Returns the reason that an exception of a socket, of Twisted, of ``ssl`` or of ours stands for."""
    if isinstance(error, NetworkError):
        return error.reason
    if isinstance(error, NothingCame):
        return timedOut(error.seconds)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Reason(ErrorKind.CERTIFICATE, error.verify_message)
    if isinstance(error, ssl.SSLError):
        if refusal := _REFUSALS.fullmatch(error.reason or ""):
            return Reason(ErrorKind.CERTIFICATE_REFUSED, refusal[1].lower().replace("_", " "))
        return Reason(ErrorKind.TLS, (error.reason or str(error)).lower().replace("_", " "))
    for kind, reason in _CLASSES:
        if isinstance(error, kind):
            return reason
    number = error.osError if isinstance(error, twistedErrors.ConnectError) else getattr(error, "errno", None)
    if isinstance(number, int) and number:
        return reasonOfNumber(number)
    return Reason(ErrorKind.OTHER, str(error) or type(error).__name__)
