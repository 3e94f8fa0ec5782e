"""Runs a service whose protocol has a bug, on ``--port`` and until SIGTERM, for the tests of isolation."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from echo_app import EchoFactory, EchoProtocol, EchoService

# The input on which the protocol raises.
BUG = b"bug"


class FailingProtocol(EchoProtocol):
    """An echo that raises on a certain input."""

    def dataReceived(self, data: bytes) -> None:
        """Raises on :data:`BUG`."""
        if data == BUG:
            raise RuntimeError("a bug in a subclass")
        super().dataReceived(data)


class FailingFactory(EchoFactory):
    """Makes the protocols with the bug."""

    protocol = FailingProtocol


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reactor", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ready-file", required=True)
    options = parser.parse_args()

    from twisted.application.reactors import installReactor

    reactor: Any = installReactor(options.reactor)

    from twisted.internet.endpoints import TCP4ServerEndpoint
    from twisted.logger import globalLogBeginner, textFileLogObserver

    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
    endpoint = TCP4ServerEndpoint(reactor, options.port, interface="127.0.0.1")
    service = EchoService(reactor, [endpoint], factory=FailingFactory(), readyFile=options.ready_file)
    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


if __name__ == "__main__":
    _main()
