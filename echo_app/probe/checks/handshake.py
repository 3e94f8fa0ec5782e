"""Check ``tls``: version, cipher, protocol, certificate, and whether the end is distinct from a cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from echo_app.probe.checks.check import Check, Context, Cost, Result, passed, warned
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.net.stream import SILENCE, Stream
from echo_app.targets import isLiteral
from echo_app.text import quoted

# A certificate that ends sooner should have been replaced: automatic renewal begins 30 days before.
SOON = timedelta(days=14)

# Connections whose ends are observed, and the bytes that each sends before.
ENDS, SIZE = 3, 1024

# What a finding means.
DISTRUST = "Clients that check certificates do not connect."
EXPIRING = "Clients will soon not connect any more."
AMBIGUOUS = "Clients can't tell the end of an answer from a cut (RFC 8446, 6.1)."


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


def judge(agreement: Agreement, name: str, ends: Sequence[Reason | None], now: datetime) -> Result:
    """Returns what that means.

    :param name: the name that the certificate must have.
    :param ends: of connections that were idle before their end.
    """
    try:
        certificate = x509.load_der_x509_certificate(agreement.certificate)
    except ValueError:
        return warned("tls", "no certificate that can be read", DISTRUST)
    until = certificate.not_valid_after_utc
    names = namesOf(certificate)
    seen = f"{agreement.version}, {agreement.cipher}"
    if agreement.protocol is not None:
        seen += f", {quoted(agreement.protocol.encode())}"
    seen += f", certificate until {until:%Y-%m-%d}"
    details = {
        "version": agreement.version,
        "cipher": agreement.cipher,
        "alpn": agreement.protocol,
        "from": certificate.not_valid_before_utc.isoformat(),
        "until": until.isoformat(),
        "names": names,
        "ends": [end and str(end) for end in ends],
    }
    for problem, meaning in (certificateProblem(certificate, name, now), endProblem(ends)):
        if problem:
            return warned("tls", f"{problem}; {seen}", meaning, **details)
    return passed("tls", seen, **details)


def certificateProblem(certificate: x509.Certificate, name: str, now: datetime) -> tuple[str, str]:
    """Returns the fault of a certificate, and its meaning; empty texts if there is none."""
    until = certificate.not_valid_after_utc
    if now < certificate.not_valid_before_utc:
        return f"the certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}", DISTRUST
    if now > until:
        return "the certificate has expired", DISTRUST
    try:
        verify = verify_certificate_ip_address if isLiteral(name) else verify_certificate_hostname
        verify(certificate, name)
    except (VerificationError, CertificateError, ValueError):
        names = ", ".join(quoted(each.encode()) for each in namesOf(certificate)) or "no host"
        return f"the certificate names {names}, not {name}", DISTRUST
    if until - now < SOON:
        return f"the certificate ends in {(until - now).days} days", EXPIRING
    return "", ""


def endProblem(ends: Sequence[Reason | None]) -> tuple[str, str]:
    """Returns what is wrong with the ends of connections, and what it means; empty texts if nothing is.

    One FIN without ``close_notify`` is enough, as only software makes it. A reset, or no end, may be an
    accident, unless every connection has it.
    """
    seen = {end.kind if end else ErrorKind.NO_END: end for end in ends}
    if ErrorKind.TRUNCATED in seen:
        return str(ErrorKind.TRUNCATED), AMBIGUOUS
    if ends and ErrorKind.CLOSE_NOTIFY not in seen:
        return f"no close_notify, but {ends[-1] or ErrorKind.NO_END}", AMBIGUOUS
    return "", ""


def namesOf(certificate: x509.Certificate) -> list[str]:
    """Returns the hosts that a certificate names."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    addresses = [str(each) for each in alternatives.get_values_for_type(x509.IPAddress)]
    return alternatives.get_values_for_type(x509.DNSName) + addresses


class TLS(Check):
    """Makes a few connections, each with one echo and an end."""

    name = "tls"

    def reasonToSkip(self, context: Context) -> str:
        """Skips targets without TLS."""
        return "" if context.target.kind == "tls" else "not asked for"

    def cost(self, context: Context) -> Cost:
        """Returns the cost of a few connections."""
        return Cost(ENDS * SIZE, ENDS, 1)

    async def run(self, context: Context) -> Result:
        """Makes the connections, and judges the last agreement and all ends."""
        ends = []
        for _ in range(ENDS):
            async with await context.connect() as stream:
                agreement = Agreement.of(stream)
                data = context.random.randbytes(SIZE)
                stream.write(data)
                # A service that is no echo may send more, and then its end says nothing.
                if await stream.receive(SIZE, SILENCE) == data:
                    stream.halfClose()
                    await stream.receiveAll(SILENCE)
                    ends.append(stream.end)
        return judge(agreement, context.target.serverName, ends, datetime.now(UTC))
