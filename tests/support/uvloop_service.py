"""An echo service on the asyncio reactor over uvloop's event loop, as an ``EchoProcess`` starts it."""

from __future__ import annotations

import argparse

import uvloop
from twisted.internet import asyncioreactor

asyncioreactor.install(uvloop.new_event_loop())

from twisted.internet import reactor  # noqa: E402
from twisted.internet.endpoints import TCP4ServerEndpoint  # noqa: E402

from echo_app import EchoService  # noqa: E402


def main() -> None:
    """Serves until the process is stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ready-file", required=True)
    options = parser.parse_args()
    endpoint = TCP4ServerEndpoint(reactor, options.port, interface="127.0.0.1")
    service = EchoService(reactor, [endpoint], readyFile=options.ready_file)
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


if __name__ == "__main__":
    main()
