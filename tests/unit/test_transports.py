"""Each transport that a protocol may have is a whole transport (:mod:`tests.support.wholetransport`).

Twisted's own TCP transport is the reference.
"""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any

from echo_app.accesslog.recorder import Recorder
from echo_app.accesslog.transports import recordedTransport
from tests.support import wholetransport
from tests.support.benches import MemoryBench, OverClientTLS, OverFaults, OverTLS, ReactorBench


class TwistedTCPTests(ReactorBench, wholetransport.WholeTransportTests):
    """Twisted's own, over TCP: the reference."""

    isDirect = False


class TwistedUNIXTests(ReactorBench, wholetransport.WholeTransportTests):
    """Twisted's own, over UNIX sockets, counting its bytes."""

    description = "unix:{path}:lockfile=0"
    isDirect = False
    hasResets = False


class DirectTCPTests(ReactorBench, wholetransport.WholeTransportTests):
    """The direct path, over TCP."""


class DirectUNIXTests(ReactorBench, wholetransport.WholeTransportTests):
    """The direct path, over UNIX sockets."""

    description = "unix:{path}:lockfile=0"
    hasResets = False


class RecordedTests(ReactorBench, wholetransport.WholeTransportTests):
    """The direct path, with a record of each connection for the access log."""

    def derive(self, kind: type) -> type:
        """Returns the class of transports that write an entry at the end, which goes nowhere."""
        accessLog: Any = SimpleNamespace(write=lambda line: None)
        return recordedTransport(kind, Recorder(accessLog, self.clock), "tcp", "127.0.0.1:0")


class MemoryTests(MemoryBench, wholetransport.WholeTransportTests):
    """Memory, under Twisted's own code."""


class TLSTests(OverTLS, ReactorBench, wholetransport.WholeTransportTests):
    """The service's TLS, over the direct path."""


class TLSInMemoryTests(OverTLS, MemoryBench, wholetransport.WholeTransportTests):
    """The service's TLS, in memory."""


class TLS12InMemoryTests(OverTLS, MemoryBench, wholetransport.WholeTransportTests):
    """The same over TLS 1.2."""

    version = ssl.TLSVersion.TLSv1_2


class ClientTLSTests(OverClientTLS, ReactorBench, wholetransport.WholeTransportTests):
    """TLS of our own at an upstream, over the direct path."""


class ClientTLSInMemoryTests(OverClientTLS, MemoryBench, wholetransport.WholeTransportTests):
    """TLS of our own at an upstream, in memory."""


class ClientTLS12InMemoryTests(OverClientTLS, MemoryBench, wholetransport.WholeTransportTests):
    """The same over TLS 1.2."""

    version = ssl.TLSVersion.TLSv1_2


class FaultsTests(OverFaults, ReactorBench, wholetransport.WholeTransportTests):
    """A layer of faults that delay nothing, over the direct path."""


class FaultsInMemoryTests(OverFaults, MemoryBench, wholetransport.WholeTransportTests):
    """A layer of faults that delay everything, in memory."""

    faults = ("latency=5ms",)


class MessageFaultsInMemoryTests(OverFaults, MemoryBench, wholetransport.WholeTransportTests):
    """A layer of faults of messages, to which all bytes are no messages, in memory."""

    faults = ("reorder=1", "close,each=1")


class FaultsOverTLSTests(OverFaults, OverTLS, MemoryBench, wholetransport.WholeTransportTests):
    """A layer of faults on TLS, as the service stacks them, in memory."""
