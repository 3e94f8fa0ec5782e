"""Measurements of paths over TLS, with the standard library's client."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from tests.zoo.client import Line, expect, pattern
from tests.zoo.path import Measure, Place

# Codes of X509_verify_cert.
EXPIRED, NOT_YET, NO_ISSUER, OTHER_NAME = 10, 9, 20, 62


def authorityOf(place: Place) -> Path:
    """Returns the file of the trusted authority."""
    return Path(place.options[place.options.index("--ca") + 1])


def trusting(*files: Path, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """Returns a client's context that trusts the authorities in some files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for file in files:
        context.load_verify_locations(file)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def exactTLS(place: Place) -> str:
    """Measures an echo over TLS, and its ``close_notify``."""
    context = trusting(authorityOf(place))
    with Line(place, context=context) as line:
        line.trip(50_000)
        assert isinstance(line.sock, ssl.SSLSocket)
        version, said = line.sock.version(), _ended(line)
    expect(said == "close_notify", said)
    return f"exact, {version}, then {said}"


def _ended(line: Line) -> str:
    """Ends a line; returns the way in which the service ends it."""
    assert isinstance(line.sock, ssl.SSLSocket)
    line.sock.settimeout(5)
    try:
        line.sock.unwrap()
    except (ssl.SSLError, OSError) as error:
        return f"{type(error).__name__}"
    return "close_notify"


def rejected(code: int, other: str = "", name: str = "localhost") -> Measure:
    """Returns the measurement of a certificate that is not accepted.

    :param code: OpenSSL's reason.
    :param other: the name of an authority of the folder with which it would be accepted.
    :param name: the name that the client asks for.
    """

    def measure(place: Place) -> str:
        trusted = authorityOf(place)
        try:
            Line(place, context=trusting(trusted), name=name).sock.close()
        except ssl.SSLCertVerificationError as error:
            expect(error.verify_code == code, error.verify_message)
            seen = error.verify_message
        else:
            expect(False, "accepted")
        if other:
            with Line(place, context=trusting(trusted, trusted.with_name(f"{other}.pem"))) as line:
                line.trip()
        return seen

    return measure


def wrongName(place: Place) -> str:
    """Measures that the certificate is not for the name that the probe asks for."""
    name = place.options[place.options.index("--sni") + 1]
    exactTLS(place)
    return rejected(OTHER_NAME, name=name)(place)


def endsWithin(days: float) -> Measure:
    """Returns the measurement of a certificate that is accepted, and ends soon."""

    def measure(place: Place) -> str:
        with Line(place, context=trusting(authorityOf(place))) as line:
            line.trip()
            assert isinstance(line.sock, ssl.SSLSocket)
            found = line.sock.getpeercert() or {}
        ends = str(found["notAfter"])
        left = (ssl.cert_time_to_seconds(ends) - datetime.now(UTC).timestamp()) / 86_400
        expect(0 < left < days, f"{left:.1f} days")
        return f"accepted, ends in {left:.1f} days"

    return measure


def isIntercepted(place: Place) -> str:
    """Measures that another authority has signed on the path than on the direct route."""
    issuers = []
    direct = place.options[place.options.index("--baseline") + 1]
    for target in (place.target, direct):
        with Line(Place(target), context=trusting(authorityOf(place))) as line:
            line.trip()
            assert isinstance(line.sock, ssl.SSLSocket)
            issuers.append(str((line.sock.getpeercert() or {})["issuer"]))
    expect(issuers[0] != issuers[1], f"{issuers}")
    return "both accepted, signed by two authorities"


def ignoresALPN(place: Place) -> str:
    """Measures that the service chooses none of the protocols that the client offers."""
    offered = place.options[place.options.index("--alpn") + 1]
    with Line(place, context=trusting(authorityOf(place), alpn=(offered,))) as line:
        line.trip()
        assert isinstance(line.sock, ssl.SSLSocket)
        chosen = line.sock.selected_alpn_protocol()
    expect(chosen is None, f"{chosen}")
    return f"{offered} offered, none chosen"


def resumes(isExpected: bool) -> Measure:
    """Returns the measurement of whether a session of an earlier connection is resumed."""

    def measure(place: Place) -> str:
        context = trusting(authorityOf(place))
        with Line(place, context=context) as line:
            line.trip()
            assert isinstance(line.sock, ssl.SSLSocket)
            session = line.sock.session
        expect(session is not None and session.has_ticket, "no ticket")
        with Line(place, context=context, session=session) as line:
            line.trip()
            assert isinstance(line.sock, ssl.SSLSocket)
            isReused = bool(line.sock.session_reused)
        expect(isReused == isExpected, f"resumed: {isReused}")
        return f"a ticket; resumed: {'yes' if isReused else 'no'}"

    return measure


def wantsCertificate(place: Place) -> str:
    """Measures that the service refuses a client without a certificate, by an alert."""
    try:
        with Line(place, context=trusting(authorityOf(place))) as line:
            line.sock.sendall(b"hello")
            said = line.sock.recv(10)
    except ssl.SSLError as error:
        expect("CERTIFICATE_REQUIRED" in str(error) or "HANDSHAKE" in str(error), f"{error}")
        return f"{error.reason}"
    expect(False, f"{said!r}")
    return ""


def endsWithoutNotify(place: Place) -> str:
    """Measures that the service ends by FIN, without ``close_notify``."""
    with Line(place, context=trusting(authorityOf(place))) as line:
        line.trip(10_000)
        said = _ended(line)
    expect(said != "close_notify", said)
    return f"exact, then {said}"


def breaks(place: Place) -> str:
    """Measures that TLS ends a connection whose records were changed."""
    with Line(place, context=trusting(authorityOf(place))) as line:
        line.sock.settimeout(5)
        try:
            line.sock.sendall(pattern(50_000))
            while line.sock.recv(1 << 16):
                pass
        except ssl.SSLError as error:
            return f"{error.reason}"
    expect(False, "no error")
    return ""


def isPlain(place: Place) -> str:
    """Measures that the service does not speak TLS."""
    try:
        Line(place, context=trusting()).sock.close()
    except (ssl.SSLError, OSError) as error:
        with Line(place) as line:
            line.trip()
        return f"{type(error).__name__} in the handshake; an echo without TLS"
    expect(False, "a handshake")
    return ""
