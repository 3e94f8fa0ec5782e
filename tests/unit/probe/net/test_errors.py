"""Errors have one vocabulary, and are told apart by their kind."""

from __future__ import annotations

import errno
import socket
import ssl

from twisted.internet.error import (
    ConnectBindError,
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
    UserError,
)
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.net.errors import (
    ErrorKind,
    NetworkError,
    Reason,
    hintOf,
    reasonOf,
    reasonOfNumber,
    timedOut,
)
from echo_app.probe.net.waits import NothingCame


def failedVerification(message: str) -> ssl.SSLCertVerificationError:
    """Returns what OpenSSL's verification of a certificate raises."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = message
    return error


def failedTLS(reason: str) -> ssl.SSLError:
    """Returns what OpenSSL raises otherwise."""
    error = ssl.SSLError(1, "")
    error.reason = reason
    return error


class ReasonTests(SynchronousTestCase):
    def test_text(self) -> None:
        """The text is the kind's word, and then the detail."""
        for reason, text in (
            (Reason(ErrorKind.RESET), "reset"),
            (Reason(ErrorKind.TLS, "wrong version number"), "TLS: wrong version number"),
            (Reason(ErrorKind.CERTIFICATE, "expired"), "TLS: certificate: expired"),
            (timedOut(0.5), "timed out after 0.5 s"),
            (timedOut(10).whileConnecting, "connect timed out after 10 s"),
            (Reason(ErrorKind.OTHER, "input/output error"), "input/output error"),
        ):
            self.assertEqual(str(reason), text)

    def test_words(self) -> None:
        """No two kinds have one word, as they are counted by it in files."""
        self.assertEqual(len({kind.value for kind in ErrorKind}), len(ErrorKind))

    def test_timeOuts(self) -> None:
        """A peer can be silent while it is connected to, in the handshake, and later."""
        reason = timedOut(1)
        for each in (reason, reason.whileConnecting, reason.inHandshake):
            self.assertTrue(each.kind.isTimeOut)
        self.assertEqual(len({reason, reason.whileConnecting, reason.inHandshake}), 3)
        self.assertFalse(ErrorKind.RESET.isTimeOut)

    def test_inHandshake(self) -> None:
        """An end in the handshake is named as such; other reasons stay as they are."""
        for kind, text in (
            (ErrorKind.FIN, "TLS: FIN in the handshake"),
            (ErrorKind.RESET, "TLS: reset in the handshake"),
            (ErrorKind.TIMED_OUT, "TLS: timed out in the handshake"),
            (ErrorKind.UNREACHABLE, "unreachable"),
        ):
            self.assertEqual(str(Reason(kind).inHandshake), text)


class ReasonOfTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """Twisted, the socket module and the kernel say the same thing in several ways; it is one kind."""
        for kind, *errors in (
            (ErrorKind.REFUSED, ConnectionRefusedError(), OSError(errno.ECONNREFUSED, "")),
            (ErrorKind.UNREACHABLE, NoRouteError(), ConnectError(errno.EHOSTUNREACH)),
            (ErrorKind.UNREACHABLE, OSError(errno.EHOSTUNREACH, ""), OSError(errno.ENETUNREACH, "")),
            (ErrorKind.TIMED_OUT, TimeoutError(), TCPTimedOutError(errno.ETIMEDOUT), NothingCame(10)),
            (ErrorKind.TIMED_OUT, OSError(errno.ETIMEDOUT, "")),
            (ErrorKind.UNRESOLVED, DNSLookupError(), socket.gaierror(-2, "")),
            (ErrorKind.RESET, OSError(errno.ECONNRESET, ""), BrokenPipeError(errno.EPIPE, "")),
            (ErrorKind.NO_LOCAL_ADDRESS, ConnectError(errno.EADDRNOTAVAIL)),
            (ErrorKind.OUT_OF_DESCRIPTORS, ConnectBindError(errno.EMFILE), OSError(errno.ENFILE, "")),
            (ErrorKind.NO_SOCKET, ConnectError(errno.ENOENT), OSError(errno.ENOENT, "")),
            (ErrorKind.CERTIFICATE, failedVerification("expired")),
            (ErrorKind.TLS, failedTLS("BAD_RECORD_TYPE")),
        ):
            for error in errors:
                self.assertIs(reasonOf(error).kind, kind, repr(error))

    def test_details(self) -> None:
        """An error without a kind of its own has the system's text."""
        for error, text in (
            (NothingCame(10), "timed out after 10 s"),
            (failedVerification("self-signed certificate"), "TLS: certificate: self-signed certificate"),
            (failedTLS("WRONG_VERSION_NUMBER"), "TLS: wrong version number"),
            (
                failedTLS("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
                "TLS: the peer refuses our certificate: certificate required",
            ),
            (failedTLS("TLSV1_ALERT_UNKNOWN_CA"), "TLS: the peer refuses our certificate: unknown ca"),
            (OSError(errno.EIO, ""), "input/output error"),
            (UserError(), "not an address to connect to"),
            (ValueError("something else"), "something else"),
            (ValueError(), "ValueError"),
        ):
            self.assertEqual(str(reasonOf(error)), text)

    def test_hint(self) -> None:
        """Ends before any answer have likely causes; other errors speak for themselves."""
        self.assertIn("tls://", hintOf(["FIN", "reset"], isTLS=False))
        self.assertNotIn("tls://", hintOf(["reset"], isTLS=True))
        self.assertEqual([hintOf(kinds, False) for kinds in ([], ["refused"], ["reset", "lost"])], [""] * 3)

    def test_number(self) -> None:
        """A number of the kernel's is the same as its exception."""
        self.assertEqual(
            reasonOfNumber(errno.ECONNRESET), reasonOf(ConnectionResetError(errno.ECONNRESET, ""))
        )

    def test_exception(self) -> None:
        """An exception carries its reason, which is its text."""
        error = NetworkError(Reason(ErrorKind.REFUSED))
        self.assertEqual((reasonOf(error), str(error)), (Reason(ErrorKind.REFUSED), "refused"))
