"""Our own server under several Pythons."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.builds import HERE, Missing
from benchmarks.peers import CANDIDATES, Peer
from benchmarks.rows import OURS

# Prints the name of a Python that can run the server, and a line of the versions of its parts.
_DESCRIBE = """
import platform
from importlib.metadata import version
from OpenSSL import SSL
import echo_app.cli.tap
python = f"{platform.python_implementation()} {platform.python_version()}"
print(platform.python_version())
print(f"Twisted {version('Twisted')}, {SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode()}, {python}")
"""


def findPythons(paths: Sequence[str]) -> list[Peer]:
    """Returns our own server under each Python, named by its version, with a number where two have the same.

    :param paths: the Pythons' paths; each needs the packages of echo_app, which comes from this checkout.
    :raise Missing: when one of them can't run the server.
    """
    made: list[Peer] = []
    for path in paths:
        peer = _pythonPeer(path)
        same = sum(each.title == peer.title for each in made)
        made.append(replace(peer, name=f"{peer.name} ({same + 1})") if same else peer)
    return made


def _pythonPeer(path: str) -> Peer:
    # As the server finds echo_app.
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    run = subprocess.run([path, "-c", _DESCRIBE], env=env, capture_output=True, text=True)
    if run.returncode != 0:
        reason = (run.stderr.strip() or f"status {run.returncode}").splitlines()[-1]
        remedy = f"make an environment of it: {path} -m venv FOLDER && FOLDER/bin/pip install -e ."
        raise Missing(f"{path} can't run echo_app: {reason}; {remedy}")
    name, version = run.stdout.splitlines()
    return Peer(name, name, (path, "-m", "echo_app"), f"{path}, {version}", CANDIDATES[OURS].options)
