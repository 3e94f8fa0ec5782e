"""The echo beside a web site, in one tree: ``twistd -n --pidfile= -y web_and_echo.tac``.

The site shows the counts of the echo service::

    curl http://127.0.0.1:8000/
"""

import json
import os
from dataclasses import asdict

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import Application, MultiService
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.web.resource import Resource
from twisted.web.server import Site

from echo_app import EchoService

ECHO_PORT = int(os.environ.get("ECHO_PORT", "8080"))
WEB_PORT = int(os.environ.get("WEB_PORT", "8000"))


class Counts(Resource):
    """The echo service's counts, as JSON."""

    isLeaf = True

    def __init__(self, echo):
        super().__init__()
        self._echo = echo

    def render_GET(self, request):
        """Returns the present counts."""
        request.setHeader("content-type", "application/json")
        return json.dumps(asdict(self._echo.snapshot())).encode() + b"\n"


application = Application("echo and web")
services = MultiService()
services.setServiceParent(application)

echo = EchoService(reactor, [TCP4ServerEndpoint(reactor, ECHO_PORT, interface="127.0.0.1")])
echo.setServiceParent(services)
StreamServerEndpointService(
    TCP4ServerEndpoint(reactor, WEB_PORT, interface="127.0.0.1"), Site(Counts(echo))
).setServiceParent(services)
