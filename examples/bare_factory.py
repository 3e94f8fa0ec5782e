"""A bare factory on any endpoint: ``python bare_factory.py tcp:8080:interface=127.0.0.1``.

There is no service and no limit. The protocol is the example's own: an echo in upper case. Half-close, urgent
data and bounded memory come from ``EchoProtocol``.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react

from echo_app import EchoProtocol


class ShoutProtocol(EchoProtocol):
    """Sends back what it receives, in upper case."""

    def dataReceived(self, data):
        """Sends the data back in upper case."""
        super().dataReceived(data.upper())


async def main(reactor, description):
    """Serves until it is interrupted."""
    port = await serverFromString(reactor, description).listen(Factory.forProtocol(ShoutProtocol))
    print(f"listening on {port.getHost()}", flush=True)
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
