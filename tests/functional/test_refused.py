"""A listener that can't open says why in one line, and leaves nothing: docs/dev/contract.rst, 6."""

from __future__ import annotations

import os
import re
import signal
import socket
import unittest
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

from tests.support import programs, warm
from tests.support.certificates import Authority
from tests.support.service import COMMANDS, PATIENCE, ServiceTestCase

Start = Callable[[tuple[str, ...]], CompletedProcess[str]]

# The arguments, and the one line that reports their error.
WRONG_VALUES = {
    "--port 70000": "'70000'",
    "--port -1": "'-1'",
    "--port abc": "'abc'",
    "--port=": "''",
    "--port": "requires argument",
    "--udp 65536": "'65536'",
    "--interface localhost": "'localhost'",
    "--forward x": "--forward 'x': neither HOST:PORT",
    "--forward 127.0.0.1:80 --responder discard": "with --forward the upstream answers",
    "--connect-timeout 3": "--connect-timeout 3.0: there is no --forward",
    "--udp 0 --forward tcp://127.0.0.1:80": "takes no datagrams, which --udp has",
    "--port 0 --forward udp://127.0.0.1:80": "takes no streams, which --port has",
    "--udp 0 --forward 127.0.0.1:80 --connect-timeout 3": "--connect-timeout 3.0: there is no --port",
    "--port 0 --forward 127.0.0.1:80 --udp-session-timeout 3": "there is no --udp",
    "--forward 127.0.0.1:80 --forward-insecure": "--forward-insecure: --forward '127.0.0.1:80' is no tls://",
    "--forward tls://localhost:80 --forward-ca /nonexistent/ca": "'/nonexistent/ca': No such file",
    "--forward 127.0.0.1:80 --send-proxy v3": "--send-proxy 'v3': neither of v1, v2",
    "--send-proxy v2": "--send-proxy v2: there is no --forward",
    "--forward 127.0.0.1:80 --connect-timeout 0": "--connect-timeout '0'",
    "--interface=": "''",
    "--interface 224.0.0.1": "'224.0.0.1'",
    "--interface 192.0.2.99": "192.0.2.99: Cannot assign requested address",
    "--interface ::1 --listen tcp:0": "'::1'",
    "--listen=": "''",
    "--listen frob:1": "'frob:1': Unknown endpoint type",
    "--listen tcp:0:frob=1": "argument 'frob'",
    "--listen tcp": "it needs 'port', such as tcp:8080",
    "--listen tcp:abc": "'abc' is not a number",
    "--listen tcp:70000": "'tcp:70000'",
    "--listen tcp:0:interface=192.0.2.99": "Cannot assign requested address",
    "--listen unix:none/x": "No such file or directory",
    "--listen systemd:domain=INET:index=0": "LISTEN_FDS",
    "--listen systemd:domain=INET:index=0 --listen systemd:domain=INET:index=0": "it is named twice",
    "--listen ssl:0:privateKey=none.pem": "none.pem: No such file or directory",
    "--listen ssl:0:privateKey=.": ": Is a directory",
    "--listen ssl:0:privateKey=junk.pem": "junk.pem: no usable private key",
    "--listen ssl:0:privateKey=own-key.pem:certKey=junk.pem": "junk.pem: no usable certificate",
    "--listen ssl:0:privateKey=own-key.pem:certKey=other.pem": "do not match",
    "--listen ssl:0:privateKey=own-key.pem:certKey=own.pem:dhParameters=junk.pem": "dhParameters",
    "--listen tls:none:0": "'tls:none:0'",
    "--listen tls:junk:0": "'tls:junk:0'",
    "--listen tls:mismatched:0": "'tls:mismatched:0'",
    "--max-connections -5": "'-5'",
    "--max-connections-per-peer 1.5": "'1.5'",
    "--idle-timeout nan": "'nan'",
    "--stall-timeout inf": "'inf'",
    "--drain-timeout=": "''",
    "--udp-rate -1": "'-1'",
    "--keepalive 1,2": "'1,2'",
    "--keepalive 0,1,1": "'0,1,1'",
    "--keepalive 1,1,128": "'1,1,128'",
    "--allow 10.0.0.1/8": "'10.0.0.1/8': neither an IPv4 or IPv6 network without host bits nor an address; "
    "did you mean 10.0.0.0/8?",
    "--auth frob:x": "'frob': no such checker; there are file, memory, unix",
    "--auth memory:alice": "'memory'",
    "--auth memory:a:b --udp 7": "no login",
    "--auth file:fifo": "A FIFO without a writer",
    "--tls 0 --certificate fifo": "--certificate 'fifo': A FIFO without a writer",
    "--tls 0 --certificate own.pem --key fifo": "--key 'fifo': A FIFO without a writer",
    "--fault latency=5": "'latency=5': at 9, '5' is not a time",
    "--fault latncy=5ms": "at 1, 'latncy' is no fault; there are latency,",
    "--fault stall,every=5s": "at 7: 'every' needs 'for'",
    "--fault close,connections=2-1": "at 19, '2-1' is not the number of a connection",
    "--fault loss=1%": "loss needs messages: --responder with a framing, or --udp",
    "--fault-seed 1": "there is no --fault",
    "--fault-seed -1 --fault stall": "'-1'",
    "--fault-buffer 0 --fault stall": "'0': not a whole number of bytes",
    "--fault-file none": "'none': No such file or directory",
    "--fault-file junk.pem": "'junk.pem': line 1: at 1, ",
    "--ready-file none/ready": "'none/ready'",
    "--ready-file junk.pem/ready": "'junk.pem/ready'",
    "--ready-file=": "''",
    "--access-log both --ready-file ./both": "--access-log names the same file",
    "--ready-file twistd.pid": "twistd --pidfile names the same file",
    "--access-log none/a.log": "none/a.log': No such file or directory",
    "--no-empty-entries": "there is no --access-log",
    "--access-log=": "''",
    "--frob": "--frob",
    "stray": "'stray'",
    "-n": "-n not recognized; it belongs before echo",
    "-port 8080": "did you mean --port?",
    "--prot 8080": "did you mean --port?",
    "8080": "did you mean --port 8080?",
    "--zzz": "; --help lists all options",
    "--fault latency=50": "did you mean 50s, 50ms or 50min?",
    "--fault latency=50ms, jitter=5ms": "no comma at its end, and no space behind a comma",
    "--fault latency=5ms,jiter=5ms": "did you mean jitter",
    "--fault stall,direction=ou": "did you mean out?",
    "--allow [::1]/128": "did you mean ::1/128?",
    "--interface [::1]": "did you mean ::1?",
    "--interface 127.0.0.1:80": "did you mean 127.0.0.1?",
    "--responder ./own/shout.py:shout": "did you mean own.shout:shout?",
    "--responder ecoh": "did you mean echo?",
    "--auth memry:a:b": "did you mean memory?",
    "--listen tpc:8080": "did you mean tcp?",
    "--listen 8080": "did you mean tcp:8080?",
}

# Of each kind one: every command finds what is wrong by the same code, and may differ in how it says so.
SOME = (
    "--port 70000",
    "--port",
    "--frob",
    "stray",
    "--interface 192.0.2.99",
    "--listen tcp:0:interface=192.0.2.99",
    "--listen unix:none/x",
    "--listen tls:mismatched:0",
    "--auth memory:a:b --udp 7",
    "--fault-file none",
    "--ready-file none/ready",
    "--access-log none/a.log",
)

JUNK_PAIR = "".join(
    f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n" for kind in ("PRIVATE KEY", "CERTIFICATE")
)


class RefusedStartTests(ServiceTestCase):
    """Each wrong command line under ``twistd -n``, and some of each kind under the other two commands."""

    def setUp(self) -> None:
        self.folder = self.makeFolder()
        authority = Authority(self.folder)
        for name in ("own", "other"):
            authority.issue(name)
        (self.folder / "junk.pem").write_text("junk")
        (self.folder / "junk").mkdir()
        os.mkfifo(self.folder / "fifo")
        (self.folder / "junk" / "echo.pem").write_text(JUNK_PAIR)
        (self.folder / "mismatched").mkdir()
        pair = (self.folder / "own-key.pem").read_text() + (self.folder / "other.pem").read_text()
        (self.folder / "mismatched" / "echo.pem").write_text(pair)
        self._files = sorted(os.listdir(self.folder))

    def _startCold(self, command: tuple[str, ...]) -> CompletedProcess[str]:
        return programs.run(*command, cwd=self.folder, text=True)

    def _startWarm(self, command: tuple[str, ...]) -> CompletedProcess[str]:
        return warm.run(command, str(self.folder), PATIENCE)

    def _complaint(self, start: Start, command: str, typed: Sequence[str], reason: str) -> str | None:
        """Starts with these options; returns what is wrong with how that failed."""
        ended = start((*COMMANDS[command], *typed))
        shown = f"{command} {' '.join(typed)}: {ended}"
        if (pid := self.folder / "twistd.pid").exists():
            # A daemon, which should not be there, does not outlive the test.
            os.kill(int(pid.read_text()), signal.SIGKILL)
        if ended.returncode != 1:
            return f"status: {shown}"
        if not re.fullmatch(r"echo: .*\n", ended.stderr) or ended.stdout:
            return f"not one line: {shown}"
        return None if reason in ended.stderr else f"not {reason!r}: {shown}"

    def _check(self, start: Start, cases: Iterable[tuple[str, Sequence[str], str]]) -> None:
        complaints = [self._complaint(start, *case) for case in cases]
        self.assertEqual([c for c in complaints if c], [])
        self.assertEqual(sorted(os.listdir(self.folder)), self._files, "something was left behind")

    def _checkWrong(self, command: str, lines: Iterable[str]) -> None:
        cases = ((command, typed.split(), WRONG_VALUES[typed]) for typed in lines)
        self._check(self._startWarm, cases)

    def test_foreground(self) -> None:
        """``twistd -n`` reports the error in one line, exits with 1, and leaves nothing."""
        self._checkWrong("twistd -n", WRONG_VALUES)

    def test_daemon(self) -> None:
        """``twistd`` does so before it becomes a daemon."""
        self._checkWrong("twistd", SOME)

    def test_twist(self) -> None:
        """``twist`` does so too."""
        self._checkWrong("twist", SOME)

    def test_taken(self) -> None:
        """A UDP port that is taken, and a listener that is asked for twice, are named."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as takenUDP:
                takenUDP.bind(("127.0.0.1", 0))
                udp = str(takenUDP.getsockname()[1])
                used = "Address already in use"
                cases = [
                    case
                    for command in COMMANDS
                    for case in (
                        (command, ["--udp", udp], f"--udp {udp} on 127.0.0.1: {used}"),
                        (
                            command,
                            ["--listen", "unix:x", "--port", "0", "--listen", "unix:x"],
                            f"--listen 'unix:x': {used}",
                        ),
                        # The listeners opened before the failed one are closed again: no socket file stays.
                        (command, ["--listen", "unix:y", "--port", port], used),
                    )
                ]
                self._check(self._startWarm, cases)

    def test_cold(self) -> None:
        """Each command does so, too, when it begins with a new Python."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            reason = f"--port {port} on 127.0.0.1: Address already in use"
            self._check(self._startCold, [(command, ["--port", port], reason) for command in COMMANDS])

    def test_unprivileged(self) -> None:
        """A port and a key that are not for this user are named."""
        if os.getuid() != 0:
            raise unittest.SkipTest("only root can become an unprivileged user")
        try:
            lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        except OSError:
            lowest = 1024
        if lowest <= 7:
            raise unittest.SkipTest("every user may bind every port here")
        key = (self.folder / "own-key.pem").absolute()
        key.chmod(0o600)
        for typed, reason in (
            (
                ("--port", "7"),
                "--port 7 on 127.0.0.1: Permission denied; a port below 1024 needs root, or the capability "
                "CAP_NET_BIND_SERVICE",
            ),
            (("--listen", f"ssl:0:privateKey={key}"), f"{key}: Permission denied"),
        ):
            twistd = (COMMANDS["twistd -n"][0], "-n", "--pidfile=", "echo")
            command = ("setpriv", "--reuid=nobody", "--clear-groups", *twistd, *typed)
            ended = programs.run(*command, cwd="/", text=True)
            if "echo: " not in ended.stderr:
                raise unittest.SkipTest(f"this Python is not for every user: {ended.stderr[-200:]}")
            self.assertRegex(ended.stderr, rf"\Aecho: .*{re.escape(reason)}\n\Z")
            self.assertEqual(ended.returncode, 1)
