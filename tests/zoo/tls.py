"""Opens paths to services that speak TLS.

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
from tests.zoo.path import Place
from tests.zoo.services import Opening, at
from tests.zoo.stream import Connection, StreamRelay

# Issues a certificate in a folder; returns the paths of the chain, its key, and the trusted authority.
Issue = Callable[[Path], tuple[str, str, str]]


def issued(
    since: float = -1.0, until: float = 80.0, trusted: str = "authority", chain: bool = False
) -> Issue:
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
