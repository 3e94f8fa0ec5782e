"""An endpoint with TLS: what a service knows of it, and imports also where there is none.

What speaks TLS is in :mod:`echo_app.tls.server`, which takes longer to import than all else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer

if TYPE_CHECKING:
    from echo_app.tls.server import ServerTLS

# Seconds until a handshake must be complete.
HANDSHAKE_TIMEOUT = 30


@implementer(IStreamServerEndpoint)
class TLSEndpoint:
    """Listens on an endpoint, with TLS.

    :param tls: the certificate.
    :param endpoint: where to listen.
    """

    def __init__(self, tls: ServerTLS, endpoint: IStreamServerEndpoint) -> None:
        self.tls = tls
        self._endpoint = endpoint

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listens, as the endpoint does."""
        return self._endpoint.listen(self.tls.wrap(protocolFactory))
