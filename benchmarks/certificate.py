"""The certificate that all peers show over TLS."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from echo_app.tls.certificates import throwAway


@cache
def certificate() -> Path:
    """Makes a certificate on P-256 and its key, in one PEM file that is removed when this process ends."""
    path = Path(tempfile.mkdtemp(prefix="echo_app-"), "certificate.pem")
    atexit.register(removeCertificate)
    path.write_bytes(throwAway())
    return path


def removeCertificate() -> None:
    """Removes the certificate, if there is one; the next call of :func:`certificate` makes another one."""
    if certificate.cache_info().currsize:
        shutil.rmtree(certificate().parent, ignore_errors=True)
        certificate.cache_clear()
        atexit.unregister(removeCertificate)
