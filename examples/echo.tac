"""An echo service as an application: ``twistd -n --pidfile= -y echo.tac``.

It has two endpoints for streams and one for datagrams, all under the same limits.
"""

import os

from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint

from echo_app import DatagramEndpoint, EchoService, Limits

PORT = int(os.environ.get("ECHO_PORT", "8080"))

application = Application("echo")
EchoService(
    reactor,
    [
        TCP4ServerEndpoint(reactor, PORT, interface="127.0.0.1"),
        TCP6ServerEndpoint(reactor, PORT, interface="::1"),
    ],
    [DatagramEndpoint(reactor, PORT, "127.0.0.1")],
    limits=Limits(maxConnections=1000, idleTimeout=3600),
).setServiceParent(application)
