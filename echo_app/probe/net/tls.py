"""Context of a TLS client, from the options of the command line."""

from __future__ import annotations

import ssl
from functools import lru_cache

from echo_app.targets import ClientTLS


@lru_cache(maxsize=64)
def contextOf(options: ClientTLS) -> ssl.SSLContext:
    """Returns the context of a client.

    :raise OSError: when a file can't be read, or (``ssl.SSLError``) used.
    """
    context = ssl.create_default_context(cafile=options.authority)
    if options.isInsecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.certificate is not None:
        # An encrypted key would ask for its password on the terminal.
        context.load_cert_chain(options.certificate, options.key, password="")
    if options.protocols:
        context.set_alpn_protocols(list(options.protocols))
    return context
