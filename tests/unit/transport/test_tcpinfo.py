"""The kernel's counts, less those that are no byte of the stream: each case with real sockets."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct

from twisted.trial.unittest import SynchronousTestCase

from echo_app.transport.tcpinfo import TCPInfo

# Bytes that go one way, and the other.
IN = 1000
OUT = 300

CLOSED = 7


def reset(sock: socket.socket) -> None:
    """Closes a socket by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def waitFor(sock: socket.socket, event: int) -> None:
    """Waits until the kernel reports an event."""
    poll = select.poll()
    poll.register(sock, event)
    assert poll.poll(10_000), "the event does not come"


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.peer = socket.create_connection(listening.getsockname())
            self.sock, _ = listening.accept()
        self.addCleanup(self.sock.close)
        self.addCleanup(self.peer.close)

    def exchange(self) -> None:
        """Sends something both ways, and waits until all of it is there, and acknowledged."""
        self.peer.sendall(bytes(IN))
        self.assertEqual(len(self.sock.recv(IN, socket.MSG_WAITALL)), IN)
        self.sock.sendall(bytes(OUT))
        self.assertEqual(len(self.peer.recv(OUT, socket.MSG_WAITALL)), OUT)
        # A byte more brings the acknowledgement of all before it.
        self.peer.sendall(b"!")
        self.assertEqual(self.sock.recv(1), b"!")

    def assertStream(
        self,
        received: int = IN + 1,
        sent: int = OUT,
        *,
        isEndRead: bool = False,
        hasEnded: bool = False,
        error: int = 0,
    ) -> TCPInfo:
        info = TCPInfo.of(self.sock)
        self.assertEqual(info.streamIn(isEndRead, error), received)
        acknowledged = min(info.acked, sent)
        self.assertEqual(info.streamOut(hasEnded), (sent, sent - acknowledged))
        return info

    def test_open(self) -> None:
        """Of an open connection every byte counts, read or not, and nothing else does."""
        self.assertStream(0, 0)
        self.exchange()
        self.assertStream()
        self.peer.sendall(bytes(5))
        waitFor(self.sock, select.POLLIN)
        self.assertStream(IN + 6)

    def test_peerEnded(self) -> None:
        """The peer's end is no byte, read or not."""
        self.exchange()
        self.peer.shutdown(socket.SHUT_WR)
        waitFor(self.sock, select.POLLRDHUP)
        self.assertStream()
        self.assertEqual(self.sock.recv(1), b"")
        self.assertStream(isEndRead=True)

    def test_oneSegment(self) -> None:
        """Nor is one that came with data."""
        self.peer.send(bytes(IN), socket.MSG_MORE)
        self.peer.shutdown(socket.SHUT_WR)
        waitFor(self.sock, select.POLLRDHUP)
        self.assertStream(IN, 0)

    def test_weEnded(self) -> None:
        """Our end is no byte, acknowledged or not."""
        self.exchange()
        self.sock.shutdown(socket.SHUT_WR)
        self.assertStream(hasEnded=True)
        self.assertEqual(self.peer.recv(1), b"")
        self.peer.sendall(b"!")
        waitFor(self.sock, select.POLLIN)
        self.assertStream(IN + 2, hasEnded=True)

    def test_bothEnded(self) -> None:
        """Nor is either of both, read or not."""
        self.exchange()
        self.sock.shutdown(socket.SHUT_WR)
        self.peer.sendall(bytes(7))
        self.peer.shutdown(socket.SHUT_WR)
        waitFor(self.sock, select.POLLHUP)
        info = self.assertStream(IN + 8, hasEnded=True)
        self.assertEqual(info.state, CLOSED)
        self.assertStream(IN + 8, hasEnded=True, isEndRead=True)

    def test_reset(self) -> None:
        """A reset counts nowhere, and subtracts nothing, unread bytes included."""
        self.exchange()
        self.peer.sendall(bytes(7))
        waitFor(self.sock, select.POLLIN)
        reset(self.peer)
        self.assertStream(IN + 8, error=self.lost(errno.ECONNRESET))

    def test_endedAndReset(self) -> None:
        """A reset behind the peer's end is another error, by which an end that was not read is known."""
        self.exchange()
        self.peer.sendall(bytes(7))
        self.peer.shutdown(socket.SHUT_WR)
        waitFor(self.sock, select.POLLRDHUP)
        reset(self.peer)
        self.assertStream(IN + 8, error=self.lost(errno.EPIPE))

    def test_weEndedAndReset(self) -> None:
        """After a reset the kernel does not say whether we had ended: the transport does."""
        self.exchange()
        self.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(self.peer.recv(1), b"")
        reset(self.peer)
        self.assertStream(hasEnded=True, error=self.lost(errno.ECONNRESET))

    def test_owed(self) -> None:
        """Bytes that the kernel took were sent; unacknowledged ones are owed, after a reset too."""
        sent = self.fill()
        self.assertStream(0, sent)
        reset(self.peer)
        self.assertStream(0, sent, error=self.lost(errno.ECONNRESET))

    def test_owedAndEnded(self) -> None:
        """Unacknowledged bytes are owed also if our end waits behind them."""
        sent = self.fill()
        self.sock.shutdown(socket.SHUT_WR)
        self.assertStream(0, sent, hasEnded=True)
        reset(self.peer)
        self.assertStream(0, sent, hasEnded=True, error=self.lost(errno.ECONNRESET))

    def test_bothEndedAndReset(self) -> None:
        """After the ends of both, a reset is the usual error: only the transport knows its reads."""
        self.peer.shutdown(socket.SHUT_WR)
        self.assertEqual(self.sock.recv(1), b"")
        sent = self.fill()
        self.sock.shutdown(socket.SHUT_WR)
        reset(self.peer)
        error = self.lost(errno.ECONNRESET)
        info = self.assertStream(0, sent, isEndRead=True, hasEnded=True, error=error)
        self.assertEqual((info.state, info.received), (CLOSED, 1))

    def fill(self) -> int:
        """Sends, to a peer that does not read, until the kernel takes no more; returns the bytes."""
        self.sock.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            for _ in range(1 << 16):
                sent += self.sock.send(bytes(1 << 16))
        return sent

    def lost(self, expected: int) -> int:
        """Waits for the reset; returns its error."""
        waitFor(self.sock, select.POLLERR)
        error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.assertEqual(error, expected)
        return error

    def test_facts(self) -> None:
        """The other fields of the structure are in their places."""
        self.exchange()
        info = TCPInfo.of(self.sock)
        self.assertEqual((info.state, info.lost, info.retransmits), (1, 0, 0))
        self.assertTrue(0 < info.rtt < 10_000_000)
        self.assertTrue(0 < info.rttvar < 10_000_000)
        self.assertTrue(1 < info.segmentsOut < 10)
        self.assertTrue(1 < info.segmentsIn < 10)
        self.assertTrue(info.deliveryRate)
