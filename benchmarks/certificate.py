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
    """Makes a certificate on P-256 and its key, in one PEM file that goes when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="echo_app-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "certificate.pem"
    path.write_bytes(throwAway())
    return path
