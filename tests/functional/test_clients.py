"""Other people's clients get their bytes back, from a shell pipeline: docs/dev/contract.rst, 2."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from echo_app.testing import EchoProcess
from tests.support import programs
from tests.support.service import PATIENCE, ServiceTestCase, needs, stopCounts

# More than what the kernel holds of a connection in both directions: the pipeline has to flow.
SIZE = 32 << 20


class PipelineTests(ServiceTestCase):
    """``cat file | CLIENT > copy``, and the two files are the same."""

    def _check(self, *client: str, unix: bool = False) -> None:
        """Runs a client; HOST, PORT and PATH in its arguments are the service's."""
        needs(client[0])
        server = self.serve("--listen", "unix:echo.sock") if unix else self.serve()
        folder = programs.newFolder(self)
        (folder / "file").write_bytes(os.urandom(SIZE))
        command = ("sh", "-c", 'cat file | "$@" > copy', "sh", *_addressed(client, server, unix))
        done = programs.run(*command, cwd=folder, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual((folder / "copy").stat().st_size, SIZE)
        self.assertEqual(_digest(folder / "copy"), _digest(folder / "file"))
        counts = stopCounts(server)
        self.assertEqual((counts["connections"], counts["aborted"], counts["lost"]), (1, 0, 0))

    def test_openbsdNetcat(self) -> None:
        """OpenBSD's ``nc -N`` gets everything back."""
        self._check("nc.openbsd", "-N", "HOST", "PORT")

    def test_traditionalNetcat(self) -> None:
        """The traditional ``nc -q`` gets everything back, and ends because the service does."""
        # It ends -q seconds after its input in any case: as long as a busy machine needs.
        self._check("nc.traditional", "-q", str(int(PATIENCE)), "HOST", "PORT")

    def test_ncat(self) -> None:
        """Nmap's ``ncat`` gets everything back."""
        self._check("ncat", "HOST", "PORT")

    def test_socat(self) -> None:
        """``socat`` gets everything back."""
        self._check("socat", "-t", str(PATIENCE), "-", "TCP:HOST:PORT")

    def test_openbsdNetcatOverUNIX(self) -> None:
        """OpenBSD's ``nc -N -U`` gets everything back over a UNIX socket."""
        self._check("nc.openbsd", "-N", "-U", "PATH", unix=True)

    def test_socatOverUNIX(self) -> None:
        """``socat`` gets everything back over a UNIX socket."""
        self._check("socat", "-t", str(PATIENCE), "-", "UNIX-CONNECT:PATH", unix=True)


class OneLineTests(PipelineTests):
    """``echo hello | CLIENT``: data and the end of the stream at once, 20 times of 20."""

    def _check(self, *client: str, unix: bool = False) -> None:
        needs(client[0])
        server = self.serve("--listen", "unix:echo.sock") if unix else self.serve()
        for _ in range(20):
            done = programs.run(*_addressed(client, server, unix), input=b"hello\n")
            self.assertEqual((done.stdout, done.stderr), (b"hello\n", b""))


def _addressed(client: tuple[str, ...], server: EchoProcess, unix: bool = False) -> list[str]:
    """Returns the client's command with the service's address in it."""
    host, port = server.address("unix" if unix else "tcp")
    return [part.replace("HOST", host).replace("PORT", str(port)).replace("PATH", host) for part in client]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
