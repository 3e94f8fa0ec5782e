"""The relay of echo_app, as long as ``twistd echo`` has no option for it.

``--forward`` takes ``HOST:PORT``, which is connected by the direct path, or a client endpoint of Twisted's,
such as ``tcp:HOST:PORT``, with Twisted's transport.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import epollreactor
from twisted.internet.endpoints import TCP4ServerEndpoint

from benchmarks.servers.commandline import BACKLOG, arguments
from echo_app.clock import makeMonotonic, monotonicClock
from echo_app.forward.forwarder import ForwardFactory
from echo_app.forward.upstream import CONNECT_TIMEOUT, UpstreamEndpoint
from echo_app.service.echoservice import EchoService
from echo_app.targets import parseTarget


def main() -> None:
    """Serves until the process is killed."""
    epollreactor.install()
    from twisted.internet import reactor as installed

    reactor: Any = installed
    makeMonotonic(reactor)
    wanted = arguments()
    clock = monotonicClock(reactor)
    target = parseTarget(wanted.forward)
    upstream: Any = (
        target.endpoint(reactor, CONNECT_TIMEOUT)
        if target.kind == "endpoint"
        else UpstreamEndpoint(reactor, clock, target)
    )
    service = EchoService(
        reactor,
        [TCP4ServerEndpoint(reactor, 0, BACKLOG, "127.0.0.1")],
        factory=ForwardFactory(upstream, clock),
        readyFile=wanted.readyFile,
    )
    service.startService()
    reactor.run()


if __name__ == "__main__":
    main()
