"""Check ``tls``: parameters, certificates, resumption, and whether the end is distinct from a cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ssl import SSLSession

from cryptography import x509

from echo_app.probe.checks.certificates import described, issuerOf, namesOf
from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.net.chain import presented
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from echo_app.probe.net.stream import Stream
from echo_app.probe.results.statistics import spread
from echo_app.text import quoted

# Connections whose ends are observed, and the bytes that each sends before.
ENDS, SIZE = 3, 1024

# Connections that offer the session of the one before.
RESUMPTIONS = 3

# Errors of a handshake: the check has seen them, and is finished.
FAILURES = (
    *(ErrorKind.CERTIFICATE, ErrorKind.CERTIFICATE_REFUSED, ErrorKind.NO_TLS, ErrorKind.TLS),
    *(ErrorKind.HANDSHAKE_FIN, ErrorKind.HANDSHAKE_RESET, ErrorKind.HANDSHAKE_TIMED_OUT),
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """The parameters that a handshake agreed on.

    :param protocol: by ALPN (RFC 7301); None is none.
    :param certificate: the server's, in DER form.
    """

    version: str
    cipher: str
    protocol: str | None
    certificate: bytes

    @classmethod
    def of(cls, stream: Stream) -> Agreement:
        """Returns the agreement of a connection's handshake."""
        tls = stream.tls
        assert tls is not None, "not TLS"
        cipher = tls.cipher()
        return cls(
            tls.version() or "no version",
            cipher[0] if cipher else "no cipher",
            tls.selected_alpn_protocol(),
            tls.getpeercert(binary_form=True) or b"",
        )


@dataclass(slots=True)
class Handshakes(Observation):
    """Records the agreement of TLS, and the ends of its connections.

    :ivar name: that the certificate must have.
    :ivar agreement: of the last handshake; None before one.
    :ivar certificate: the server's; None without one that can be read.
    :ivar ends: of the connections whose echo was whole; None where a connection did not end.
    :ivar now: when the certificate was looked at.
    :ivar chain: the certificates that the server sends, its own first, trusted or not; empty if not known.
    :ivar asks: the server asks for a client's certificate.
    :ivar failure: why a handshake failed; None if none did.
    :ivar seconds: of each handshake, without the connection below it.
    :ivar isTicketed: the server gave a ticket, with which a later handshake should be shorter.
    :ivar resumed: of the connections that offered it, whether the server took it.
    :ivar refusals: reasons for which connections that offered it were not made.
    """

    name: str = ""
    agreement: Agreement | None = None
    certificate: x509.Certificate | None = None
    ends: list[Reason | None] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    chain: Sequence[x509.Certificate] = ()
    asks: bool = False
    failure: Reason | None = None
    seconds: list[float] = field(default_factory=list)
    isTicketed: bool = False
    resumed: list[bool] = field(default_factory=list)
    refusals: list[Reason] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [str(self.failure)] if self.failure else []
        parts += self._agreed() if self.agreement is not None else []
        certificate = self.certificate
        if certificate is not None:
            until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
            parts.append(f"certificate until {until} by {issuerOf(certificate)}")
        elif self.agreement is not None:
            parts.append("certificate that can't be read")
        if self.chain:
            parts.append(f"chain of {len(self.chain)}")
        if self.seconds:
            parts.append(f"handshake {spread(self.seconds)}")
        if self.isTicketed and (self.resumed or self.refusals):
            tries = len(self.resumed) + len(self.refusals)
            parts.append(f"resumed {sum(self.resumed)} of {tries}")
        return ", ".join(parts) or "no handshake"

    def _agreed(self) -> list[str]:
        assert self.agreement is not None
        protocol = self.agreement.protocol
        named = [] if protocol is None else [quoted(protocol.encode())]
        return [self.agreement.version, self.agreement.cipher, *named]

    def data(self) -> Mapping[str, object]:
        """Returns the agreement, the chain with names and dates, the ends, and the resumptions."""
        agreement, certificate = self.agreement, self.certificate
        data: dict[str, object] = {
            "failure": str(self.failure or ""),
            "chain": [described(each) for each in self.chain],
            "asks": self.asks,
            "ends": [end and str(end) for end in self.ends],
            "handshakes": self.seconds,
            "ticket": self.isTicketed,
            "resumed": self.resumed,
            "refusals": list(map(str, self.refusals)),
        }
        if agreement is not None:
            data |= {"version": agreement.version, "cipher": agreement.cipher, "alpn": agreement.protocol}
        if certificate is not None:
            data |= {**described(certificate), "names": namesOf(certificate)}
        return data


class TLS(Check[Handshakes]):
    """Reads the certificates, makes a few connections with one echo and an end, and resumes their session."""

    name = "tls"
    begin = Handshakes
    explains = ("connect",)

    def reasonToSkip(self, context: Context) -> str:
        """Skips targets without TLS."""
        return "" if context.target.kind == "tls" else "not asked for"

    def cost(self, context: Context) -> Cost:
        """Returns the cost of a few connections."""
        return Cost((ENDS + RESUMPTIONS) * SIZE, 1 + ENDS + RESUMPTIONS, 2)

    async def run(self, context: Context, seen: Handshakes) -> None:
        """Makes the connections; keeps the last agreement and all ends."""
        seen.name = context.target.serverName
        async with await context.connect(replace(context.target, kind="tcp")) as link:
            found = await presented(link.stream, context.target)
        seen.chain, seen.asks = found.chain, found.asks
        seen.certificate = found.chain[0] if found.chain else None
        try:
            session = await self._observeEnds(context, seen)
        except NetworkError as error:
            if error.reason.kind not in FAILURES:
                raise
            seen.failure = error.reason
            return
        if session is not None and session.has_ticket:
            seen.isTicketed = True
            await self._resume(context, seen, session)

    async def _observeEnds(self, context: Context, seen: Handshakes) -> SSLSession | None:
        """Makes connections; returns the session of the last one whose echo was whole."""
        session = None
        for _ in range(ENDS):
            async with await context.connect() as link:
                record = link.record
                seen.seconds.append((record.shaken or 0.0) - (record.connected or 0.0))
                seen.agreement = Agreement.of(link.stream)
                seen.certificate = _parsed(seen.agreement.certificate)
                link.send(SIZE)
                # A service that is no echo may send more, and then its end says nothing.
                if await link.receiveRest():
                    # A ticket of TLS 1.3 comes after the handshake.
                    session = _sessionOf(link.stream)
                    link.halfClose()
                    await link.receiveEnd()
                    seen.ends.append(record.end)
        return session

    async def _resume(self, context: Context, seen: Handshakes, session: SSLSession) -> None:
        """Offers a session, and then the newest: a ticket of TLS 1.3 may be good for one use."""
        for _ in range(RESUMPTIONS):
            try:
                link = await context.connect(session=session)
            except NetworkError as error:
                if error.reason.kind not in FAILURES:
                    raise
                seen.refusals.append(error.reason)
                continue
            async with link:
                tls = link.stream.tls
                seen.resumed.append(bool(tls and tls.session_reused))
                link.send(SIZE)
                if await link.receiveRest():
                    session = _sessionOf(link.stream) or session
                    link.halfClose()
                    await link.receiveEnd()


def _sessionOf(stream: Stream) -> SSLSession | None:
    return stream.tls.session if stream.tls is not None else None


def _parsed(certificate: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(certificate)
    except ValueError:
        return None
