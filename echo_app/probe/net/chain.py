"""Certificates that a TLS server sends, trusted or not, read by a handshake of their own.

Python's ``ssl`` gives the whole chain from version 3.13 on, and by private means before; pyOpenSSL, which
Twisted's TLS needs, gives it everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from OpenSSL import SSL

from echo_app.probe.net.stream import SILENCE, Stream
from echo_app.targets import Target, isLiteral

# Bytes that are read at once.
_CHUNK = 1 << 16

# OpenSSL's name of its state after a CertificateRequest (ssl_stat.c; in TLS 1.2 and 1.3, since OpenSSL 1.1).
_ASKED = b"read server certificate request"


@dataclass(frozen=True, slots=True)
class Presented:
    """The certificates of a server.

    :param chain: the server's certificate first, then those that it sends with it.
    :param asks: the server asks for a client's certificate, which it may need or not.
    """

    chain: tuple[x509.Certificate, ...] = ()
    asks: bool = False


async def presented(stream: Stream, target: Target, timeout: float = SILENCE) -> Presented:
    """Does a handshake on a TCP connection, without trusting anything; the connection is of no use then.

    :param timeout: seconds without a byte.
    :return: without a chain, where the handshake does not come as far, or the chain can't be read.
    """
    states: set[bytes] = set()
    client = _client(target, states)
    try:
        while not _isShaken(client):
            _flush(client, stream)
            data = await stream.read(timeout, _CHUNK)
            if not data:
                break
            client.bio_write(data)
    except SSL.Error:
        # Such as a client certificate that is missing: the server's own may have come.
        pass
    return Presented(_chainOf(client), any(each.endswith(_ASKED) for each in states))


def _client(target: Target, states: set[bytes]) -> SSL.Connection:
    """Returns a client that adds the names of its states to a set."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_info_callback(lambda client, where, code: states.add(client.get_state_string()))
    context.set_verify(SSL.VERIFY_NONE, lambda *given: True)
    if target.tls.protocols:
        context.set_alpn_protos([each.encode() for each in target.tls.protocols])
    client = SSL.Connection(context, None)
    if not isLiteral(target.serverName):
        client.set_tlsext_host_name(target.serverName.encode("idna"))
    client.set_connect_state()
    return client


def _isShaken(client: SSL.Connection) -> bool:
    try:
        client.do_handshake()
    except SSL.WantReadError:
        return False
    return True


def _flush(client: SSL.Connection, stream: Stream) -> None:
    try:
        while True:
            stream.write(client.bio_read(_CHUNK))
    except SSL.WantReadError:
        pass


def _chainOf(client: SSL.Connection) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(each.to_cryptography() for each in client.get_peer_cert_chain() or ())
    except (ValueError, SSL.Error):
        return ()
