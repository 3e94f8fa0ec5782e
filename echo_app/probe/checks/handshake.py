"""Check ``tls``: version, cipher, protocol, certificate, and whether the end is distinct from a cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.net.errors import Reason
from echo_app.probe.net.stream import Stream
from echo_app.text import quoted

# Connections whose ends are observed, and the bytes that each sends before.
ENDS, SIZE = 3, 1024


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
    """What TLS agreed on, and how its connections ended.

    :ivar name: that the certificate must have.
    :ivar agreement: of the last handshake; None before one.
    :ivar certificate: the server's; None without one that can be read.
    :ivar ends: of the connections whose echo was whole; None where a connection did not end.
    :ivar now: when the certificate was looked at.
    """

    name: str = ""
    agreement: Agreement | None = None
    certificate: x509.Certificate | None = None
    ends: list[Reason | None] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __str__(self) -> str:
        agreement, certificate = self.agreement, self.certificate
        if agreement is None:
            return "no handshake"
        seen = f"{agreement.version}, {agreement.cipher}"
        if agreement.protocol is not None:
            seen += f", {quoted(agreement.protocol.encode())}"
        until = f"until {certificate.not_valid_after_utc:%Y-%m-%d}" if certificate else "that can't be read"
        return f"{seen}, certificate {until}"

    def data(self) -> Mapping[str, object]:
        """Returns the agreement, the certificate's names and dates, and the ends."""
        agreement, certificate = self.agreement, self.certificate
        data: dict[str, object] = {"ends": [end and str(end) for end in self.ends]}
        if agreement is not None:
            data |= {"version": agreement.version, "cipher": agreement.cipher, "alpn": agreement.protocol}
        if certificate is not None:
            data |= {
                "from": certificate.not_valid_before_utc.isoformat(),
                "until": certificate.not_valid_after_utc.isoformat(),
                "names": namesOf(certificate),
            }
        return data


def namesOf(certificate: x509.Certificate) -> list[str]:
    """Returns the hosts that a certificate names."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    addresses = [str(each) for each in alternatives.get_values_for_type(x509.IPAddress)]
    return alternatives.get_values_for_type(x509.DNSName) + addresses


class TLS(Check[Handshakes]):
    """Makes a few connections, each with one echo and an end."""

    name = "tls"
    begin = Handshakes

    def reasonToSkip(self, context: Context) -> str:
        """Skips targets without TLS."""
        return "" if context.target.kind == "tls" else "not asked for"

    def cost(self, context: Context) -> Cost:
        """Returns the cost of a few connections."""
        return Cost(ENDS * SIZE, ENDS, 1)

    async def run(self, context: Context, seen: Handshakes) -> None:
        """Makes the connections; keeps the last agreement and all ends."""
        seen.name = context.target.serverName
        for _ in range(ENDS):
            async with await context.connect() as link:
                seen.agreement = Agreement.of(link.stream)
                seen.certificate = _parsed(seen.agreement.certificate)
                link.send(SIZE)
                # A service that is no echo may send more, and then its end says nothing.
                if await link.receiveRest():
                    link.halfClose()
                    await link.receiveEnd()
                    seen.ends.append(link.record.end)


def _parsed(certificate: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(certificate)
    except ValueError:
        return None
