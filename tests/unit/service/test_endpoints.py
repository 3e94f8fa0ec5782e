"""From a description to an endpoint, or to a line with the error."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.logger import capturedLogs
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from echo_app.service.endpoints import (
    LONGEST_PATH,
    BadDescription,
    NamedEndpoint,
    endpointFromDescription,
    isPrivate,
    removeDeadSocket,
)
from echo_app.stream.protocol import EchoProtocol
from echo_app.text import reasonOf
from tests.support import programs


def certificate(key: str, file: str, extension: str = "subjectAltName=DNS:echo.example") -> None:
    """Makes a key and a certificate of its own."""
    programs.run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-subj", "/CN=echo", "-addext", extension),
        *("-keyout", key, "-out", file),
        check=True,
    )


class DescriptionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def refusal(self, description: str) -> str:
        """Returns why a description is refused, which takes one line."""
        error = self.assertRaises(BadDescription, endpointFromDescription, reactor, description)
        self.assertNotIn("\n", str(error))
        return str(error)

    def path(self, name: str, content: str | None = None) -> str:
        """Returns the path of a file in the test's folder; writes it, if there is something to write."""
        if content is not None:
            (self.folder / name).write_text(content)
        return str(self.folder / name)

    def pems(self) -> tuple[str, str]:
        """Returns the paths of a new key and its certificate."""
        key, own = self.path("key.pem"), self.path("own.pem")
        certificate(key, own)
        return key, own

    def test_good(self) -> None:
        """A description that Twisted takes makes an endpoint."""
        for description in ("tcp:0:interface=127.0.0.1", "tcp6:0", "haproxy:tcp:0", "unix:/x:mode=600"):
            verifyObject(IStreamServerEndpoint, endpointFromDescription(reactor, description))

    def test_arguments(self) -> None:
        """A kind and an argument that do not exist, one that is missing, and one that is no number."""
        for description, reason in (
            ("frob:1", "Unknown endpoint type: 'frob'"),
            ("", "Unknown endpoint type: ''"),
            ("tcp:0:frob=1", "got an unexpected keyword argument 'frob'"),
            ("tcp", "it needs 'port', such as tcp:8080"),
            ("tcp:abc", "'abc' is not a number"),
            ("unix:x:mode=9", "'9' is not a number"),
            ("haproxy:frob:1", "Unknown endpoint type: 'frob'"),
            ("stdio:", "standard input is not a listener"),
        ):
            self.assertEqual(self.refusal(description), reason)

    def test_systemd(self) -> None:
        """A descriptor that systemd did not pass."""
        for which in ("index=7", "name=frob"):
            reason = f"no such descriptor in LISTEN_FDS: {which.partition('=')[2]}"
            self.assertEqual(self.refusal(f"systemd:domain=INET:{which}"), reason)
        for place in ("0", "web"):
            self.assertIn("no such descriptor in LISTEN_FDS", self.refusal(f"systemd:{place}"))
        self.assertIn("such as systemd:0 or systemd:NAME", self.refusal("systemd"))

    def test_missingKey(self) -> None:
        """A key that is missing, or is a folder, is named, also the one that Twisted takes by default."""
        missing = self.path("none.pem")
        self.assertEqual(self.refusal(f"ssl:0:privateKey={missing}"), f"{missing}: No such file or directory")
        self.assertEqual(self.refusal(f"ssl:0:privateKey={self.folder}"), f"{self.folder}: Is a directory")
        self.assertIn("server.pem: No such file or directory", self.refusal("ssl:0"))

    def test_junkKey(self) -> None:
        """Of several files the one that can't be used is named."""
        key, own = self.pems()
        junk = self.path("junk.pem", "junk")
        noKey = f"{junk}: no usable private key in PEM form"
        self.assertEqual(self.refusal(f"ssl:0:privateKey={junk}"), noKey)
        self.assertEqual(self.refusal(f"ssl:0:privateKey={junk}:certKey={own}"), noKey)
        self.assertEqual(
            self.refusal(f"ssl:0:privateKey={key}:certKey={junk}"),
            f"{junk}: no usable certificate in PEM form",
        )

    def test_positionalKey(self) -> None:
        """A file that is given by its position is named as well."""
        key, _ = self.pems()
        junk = self.path("junk.pem", "junk")
        self.assertEqual(self.refusal(f"ssl:0:{junk}"), f"{junk}: no usable private key in PEM form")
        self.assertEqual(self.refusal(f"ssl:0:{key}:{junk}"), f"{junk}: no usable certificate in PEM form")

    def test_junkParameters(self) -> None:
        """A file besides these two that OpenSSL can't use is not taken for one of them."""
        key, own = self.pems()
        bad = "-----BEGIN CERTIFICATE-----\njunk\n-----END CERTIFICATE-----"
        chain = self.path("chain.pem", bad)
        self.assertEqual(
            self.refusal(f"ssl:0:privateKey={key}:certKey={own}:extraCertChain={chain}"),
            "a certificate or parameter file is not usable",
        )

    def test_mismatch(self) -> None:
        """A certificate and a key that do not belong together are an error now."""
        key, _ = self.pems()
        certificate(self.path("otherkey.pem"), other := self.path("other.pem"))
        self.assertIn("do not match", self.refusal(f"ssl:0:privateKey={key}:certKey={other}"))

    def test_directory(self) -> None:
        """A ``tls:`` folder without a key, or without a certificate, is an error now."""
        description = f"tls:{self.folder}:port=0"
        reason = self.refusal(description)
        if "Unknown endpoint type" in reason:
            raise SkipTest("this Twisted has no tls: endpoint for servers")
        self.assertIn("no private key in any .pem file", reason)
        _, own = self.pems()
        os.rename(own, self.path("own.crt"))
        self.assertIn("no certificate in any .pem file", self.refusal(description))
        os.rename(self.path("own.crt"), own)
        endpointFromDescription(reactor, description)
        self.assertIn("No such file or directory", self.refusal(f"tls:{self.path('none')}:port=0"))
        self.assertIn("none: No such file", self.refusal(f"haproxy:tls:{self.path('none')}:port=0"))
        escaped = self.path("a:b").replace(":", "\\:")
        self.assertIn("a:b: No such file", self.refusal(f"tls:{escaped}:port=0"))
        # Twisted serves by name: without one, or without its key, every handshake would fail.
        certificate(self.path("key.pem"), own, "basicConstraints=CA:TRUE")
        noName = "no certificate with a DNS name whose key is there"
        self.assertIn(noName, self.refusal(description))
        certificate(self.path("other.key"), own)
        self.assertIn(noName, self.refusal(description))
        self.path("own.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
        self.refusal(description)

    def test_listenParameters(self) -> None:
        """Parameters that OpenSSL reads only when they are needed are needed when it listens."""
        key, own = self.pems()
        junk = self.path("dh.pem", "junk")
        for parameters, listens in (("", True), (f":dhParameters={junk}", False)):
            description = f"ssl:0:privateKey={key}:certKey={own}{parameters}"
            endpoint = endpointFromDescription(MemoryReactor(), description)
            listening = endpoint.listen(Factory())
            if listens:
                self.successResultOf(listening)
            else:
                self.failureResultOf(listening, BadDescription)


class PrivateTests(SynchronousTestCase):
    def test_private(self) -> None:
        """Over TLS, a UNIX socket and a loopback address no third party reads the bytes."""
        for description in (
            *("ssl:1", "tls:/etc/keys:tcp:1", "unix:/run/echo", "haproxy:ssl:1"),
            *("systemd:domain=UNIX:index=0", "systemd:UNIX:name=web"),
            *("tcp:1:127.0.0.1", "tcp:1:interface=127.0.0.1", "tcp:1:backlog=5:interface=127.1.2.3"),
            *("tcp6:1:interface=\\:\\:1", "tcp6:1:50:\\:\\:1", "haproxy:tcp:1:interface=127.0.0.1"),
        ):
            self.assertTrue(isPrivate(description), description)

    def test_others(self) -> None:
        """On every other endpoint a third party may read the bytes, or it is not known."""
        for description in (
            *("tcp:1", "tcp6:1", "tcp:1:0.0.0.0", "tcp:1:interface=192.0.2.1", "tcp:1:interface=localhost"),
            *(
                "tcp6:1:interface=\\:\\:",
                "tcp6:1:127.0.0.1",
                "haproxy:tcp:1",
                "systemd:domain=INET:index=0",
                "systemd:0",
                "x",
            ),
        ):
            self.assertFalse(isPrivate(description), description)


class ReasonTests(SynchronousTestCase):
    def test_nested(self) -> None:
        """The system's reason is found inside the errors that Twisted and we wrap around it."""
        inner = CannotListenError("127.0.0.1", 7, PermissionError(13, "Permission denied"))
        self.assertEqual(reasonOf(CannotListenError(None, "--port 7", inner)), "Permission denied")

    def test_text(self) -> None:
        """A reason that is no exception is told as it is."""
        self.assertEqual(reasonOf(CannotListenError(None, "x", "not today")), "not today")

    def test_file(self) -> None:
        """A file is named before its error."""
        error = FileNotFoundError(2, "No such file or directory", b"/x")
        self.assertEqual(reasonOf(error), "/x: No such file or directory")


@implementer(IStreamServerEndpoint)
class RefusingEndpoint:
    """An endpoint that can't listen."""

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Fails."""
        return fail(OverflowError("port must be 0-65535"))


class NamedEndpointTests(SynchronousTestCase):
    def test_name(self) -> None:
        """The error has the name, and the reason."""
        named = NamedEndpoint("--listen 'tcp:70000'", RefusingEndpoint())
        verifyObject(IStreamServerEndpoint, named)
        error = self.failureResultOf(named.listen(Factory()), CannotListenError).value
        self.assertEqual((error.interface, error.port), (None, "--listen 'tcp:70000'"))
        self.assertEqual(reasonOf(error), "port must be 0-65535")


class UNIXTests(TestCase):
    def setUp(self) -> None:
        # A path that fits into an address.
        self.folder = Path(tempfile.mkdtemp(prefix="echo-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.name = str(self.folder / "s")

    def _socket(self, name: str) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.bind(name)
        return sock

    async def _listen(self) -> IListeningPort:
        endpoint = endpointFromDescription(reactor, f"unix:{self.name}")
        port: IListeningPort = await endpoint.listen(Factory.forProtocol(EchoProtocol))
        self.addCleanup(port.stopListening)
        return port

    async def test_noLockFile(self) -> None:
        """A UNIX endpoint listens without a lock file."""
        port = await self._listen()
        self.assertEqual(port.getHost(), UNIXAddress(self.name.encode()))
        self.assertEqual(os.listdir(self.folder), ["s"])

    async def test_dead(self) -> None:
        """A socket file without a listener is taken over."""
        self._socket(self.name).close()
        await self._listen()

    async def test_live(self) -> None:
        """A socket file with a listener is not taken over, also while the listener does not accept."""
        listening = self._socket(self.name)
        listening.listen(0)
        endpoint = endpointFromDescription(reactor, f"unix:{self.name}")
        for _ in range(2):
            with self.assertRaises(CannotListenError):
                await endpoint.listen(Factory())
            waiting = socket.socket(socket.AF_UNIX)
            self.addCleanup(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(self.name)
        self.assertTrue(os.path.exists(self.name))

    def test_notASocket(self) -> None:
        """A file that is no socket stays; a path without a file, and an abstract address, are no error."""
        Path(self.name).write_text("precious")
        for name in (self.name, self.name + ".none", "\0abstract"):
            removeDeadSocket(name)
        self.assertEqual(Path(self.name).read_text(), "precious")

    async def test_tooLong(self) -> None:
        """A path that clients can't use by its absolute form is refused, with the limit."""
        longest = LONGEST_PATH - len(f"{self.folder}/")
        self.name = str(self.folder / ("x" * longest))
        with socket.socket(socket.AF_UNIX) as peer:
            await self._listen()
            peer.connect(self.name)
        here = os.getcwd()
        os.chdir(self.folder)
        try:
            for name in (self.name + "y", "x" * longest + "y"):
                endpoint = endpointFromDescription(reactor, f"unix:{name}")
                with self.assertRaisesRegex(BadDescription, "has 108 bytes, and clients can use 107"):
                    await endpoint.listen(Factory())
        finally:
            os.chdir(here)

    async def test_removesOwn(self) -> None:
        """A stop removes the own socket file, and not the file of another service at its path."""
        first: Any = await self._listen()
        os.unlink(self.name)
        second: Any = await self._listen()
        await first.stopListening()
        self.assertTrue(os.path.exists(self.name))
        await second.stopListening()
        self.assertFalse(os.path.exists(self.name))

    async def test_notRemoved(self) -> None:
        """A file that is gone, or that may not be removed, does not stop the closing."""

        def refuse(path: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        for isGone in (True, False):
            port: Any = await self._listen()
            if isGone:
                os.unlink(self.name)
            else:
                self.patch(os, "unlink", refuse)
            with capturedLogs() as events:
                await port.stopListening()
            self.assertFalse(port.connected)
            warned = [event["reason"] for event in events if "reason" in event]
            self.assertEqual(warned, [] if isGone else ["Permission denied"])

    async def test_abstract(self) -> None:
        """An abstract address has no file, and no limit but the kernel's."""
        self.name = "\0" + str(self.folder)
        port: Any = await self._listen()
        await port.stopListening()
