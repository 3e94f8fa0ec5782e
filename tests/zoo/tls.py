"""Opens paths to services that speak TLS, and measures them with the standard library's client.

A path's folder has the files of its authorities; ``--ca`` names the one that the client trusts.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from echo_app.testing import EchoProcess
from tests.support.certificates import Authority
from tests.zoo.client import Line, expect, pattern
from tests.zoo.path import Place
from tests.zoo.services import Opening, at
from tests.zoo.stream import Connection, StreamRelay

Measure = Callable[[Place], str]

# Codes of X509_verify_cert.
EXPIRED, NOT_YET, NO_ISSUER, OTHER_NAME = 10, 9, 20, 62

# Issues the service's certificate in a folder; returns the paths of the chain, the key and the trusted authority.
Issue = Callable[[Path], tuple[str, str, str]]


def issued(since: float = -1.0, until: float = 80.0, trusted: str = "authority", chain: bool = False) -> Issue:
    """Returns a function that issues a certificate for localhost.

    :param since: days from now from which it holds.
    :param until: days from now until which it holds.
    :param trusted: the authority that the client trusts: ``authority`` has signed the certificate.
    :param chain: an authority between the two signs, and its certificate is not sent.
    """

    def issue(folder: Path) -> tuple[str, str, str]:
        root, now = Authority(folder), datetime.now(UTC)
        Authority(folder, "other")
        signer = Authority(folder, "between", root) if chain else root
        day = timedelta(days=1)
        certificate, key = signer.issue("service", since=now + since * day, until=now + until * day)
        return certificate, key, str(folder / f"{trusted}.pem")

    return issue


def secured(issue: Issue = issued(), *options: str, more: tuple[str, ...] = ()) -> Opening:
    """Returns the opening of a path to ``twistd echo --tls``.

    :param options: further options of ``twistd echo``; ``{folder}`` is the folder of the authorities.
    :param more: further options of the probe.
    """

    @contextmanager
    def opening() -> Iterator[Place]:
        with tempfile.TemporaryDirectory() as name:
            certificate, key, trusted = issue(Path(name))
            given = (each.format(folder=name) for each in options)
            with EchoProcess("--tls", "0", "--certificate", certificate, "--key", key, *given) as service:
                yield Place(at(service.address(), "tls"), ("--ca", trusted, *more))

    return opening


def securelyRelayed(make: Callable[..., Connection]) -> Opening:
    """Returns the opening of a path through a relay that does not know TLS."""

    @contextmanager
    def opening() -> Iterator[Place]:
        with secured()() as place:
            host, _, port = place.target.removeprefix("tls://").rpartition(":")
            relay = StreamRelay((host, int(port)), make).start()
            try:
                yield Place(at(relay.address, "tls"), place.options)
            finally:
                relay.stop()

    return opening


@contextmanager
def intercepted() -> Iterator[Place]:
    """Opens a path whose proxy has a certificate by an authority of its own, which the client trusts too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = folder / "bundle.pem"
        files = []
        for each in ("service", "proxy"):
            authority = Authority(folder / each, f"{each}-authority")
            files.append(authority.issue("service"))
            with bundle.open("ab") as all:
                all.write(authority.pem)
        (one, oneKey), (other, otherKey) = files
        with (
            EchoProcess("--tls", "0", "--certificate", one, "--key", oneKey) as service,
            EchoProcess("--tls", "0", "--certificate", other, "--key", otherKey) as proxy,
        ):
            baseline = at(service.address(), "tls")
            yield Place(at(proxy.address(), "tls"), ("--ca", str(bundle), "--baseline", baseline))


class TLSEcho(socketserver.ThreadingTCPServer):
    """An echo over TLS with a thread for each connection.

    :param makeContext: returns the context of a connection.
    :param notifies: end a connection by ``close_notify``.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, makeContext: Callable[[], ssl.SSLContext], notifies: bool) -> None:
        self._makeContext = makeContext
        self._notifies = notifies
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)

    def finish_request(self, request: object, client_address: object) -> None:
        """Echoes a connection."""
        assert isinstance(request, socket.socket)
        # The peer is gone, or does not speak TLS.
        with suppress(OSError):
            line = self._makeContext().wrap_socket(request, server_side=True)
            while data := line.recv(1 << 16):
                line.sendall(data)
            if self._notifies:
                line = line.unwrap()  # type: ignore[assignment]
            line.shutdown(socket.SHUT_WR)
            line.close()


def terminated(notifies: bool, isShared: bool) -> Opening:
    """Returns the opening of a path to a :class:`TLSEcho`.

    :param isShared: connections share a context, and so resume each other's sessions.
    """

    @contextmanager
    def opening() -> Iterator[Place]:
        with tempfile.TemporaryDirectory() as name:
            certificate, key, trusted = issued()(Path(name))

            def context() -> ssl.SSLContext:
                made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                made.load_cert_chain(certificate, key)
                return made

            shared = context()
            with TLSEcho((lambda: shared) if isShared else context, notifies) as server:
                threading.Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
                try:
                    yield Place(at(("127.0.0.1", server.server_address[1]), "tls"), ("--ca", trusted))
                finally:
                    server.shutdown()

    return opening


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
