"""The command ``echo-probe``: its output and its exit status."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from echo_app.testing import EchoProcess
from tests.support import programs, warm
from tests.support.certificates import Authority
from tests.support.programs import TIMEOUT
from tests.support.service import PATIENCE, ServiceTestCase

PROBE = (sys.executable, "-m", "echo_app.probe")


class CommandTestCase(ServiceTestCase):
    def run_(self, *arguments: str) -> tuple[int, str]:
        """Runs the command; returns its status and its output. Standard error stays empty."""
        done = warm.run((*PROBE, *arguments), ".", TIMEOUT)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def target(self, server: EchoProcess, scheme: str = "tcp") -> str:
        host, port = server.address(scheme)
        return f"{scheme}://{host}:{port}"


class CheckTests(CommandTestCase):
    def test_good(self) -> None:
        """A check prints a line when it ends, between the costs and the verdict, and status is 0."""
        target = self.target(self.serve())
        status, output = self.run_("check", target, "--quick", "--only", "identity,half-close")
        first, *lines, last = output.splitlines()
        self.assertRegex(
            first, rf"^{target.replace('://', ' ')}; at most [\d.]+ MiB, \d+ connections, \d+ s$"
        )
        identity, halfClose = lines
        self.assertRegex(identity, r"^identity      37 sizes, 1 B to 1 MiB, the last at [\d.]+ [KMG]iB/s$")
        self.assertEqual(halfClose, "half-close    20 of 20 whole, then the end")
        self.assertRegex(last, r"^VERDICT  nothing wrong was found \[21 connections, \d+ s\]$")
        self.assertEqual(status, 0)

    def test_finding(self) -> None:
        """A finding has status 1, its meaning in words, and is the verdict."""
        status, output = self.run_("check", "127.0.0.1:1", "--quick")
        self.assertEqual(status, 1)
        self.assertIn("resolve       127.0.0.1 is an address; 127.0.0.1: refused\n", output)
        self.assertIn(
            "FAIL  no connection is made: 3 of 3 refused (certain)\n      No server listens", output
        )
        self.assertRegex(output, r"\nVERDICT  no connection is made \(3 of 3 refused\) \[\d+ s\]\n$")

    def test_json(self) -> None:
        """``--json`` prints the same as data and nothing else, the direct route included."""
        target = self.target(self.serve())
        arguments = ("--only", "identity", "--quick", "--json", "--seed", "7", "--baseline", target)
        status, output = self.run_("check", target, *arguments)
        data = json.loads(output)
        self.assertEqual((status, data["seed"]), (0, 7))
        for each in (data, data["baseline"]):
            self.assertEqual((each["findings"], each["unfinished"]), ([], {}))
            self.assertEqual(list(each["checks"]), ["identity"])
            (made,) = each["connections"]
            self.assertEqual((made["sent"], made["number"]), (made["came"], 0))

    def test_jsonFinding(self) -> None:
        """``--json`` has the cause of a finding, its severity and its confidence."""
        status, output = self.run_("check", "127.0.0.1:1", "--quick", "--json")
        (found,) = json.loads(output)["findings"]
        self.assertEqual(
            (status, *(found[key] for key in ("cause", "severity", "confidence"))),
            (1, "unreachable", "fail", "certain"),
        )

    def test_interrupted(self) -> None:
        """Ctrl-C ends the command at once, with a verdict of what was seen."""
        target = self.target(self.serve())
        process = programs.start(self, *PROBE, "check", target, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("connect"):
                break
        process.send_signal(signal.SIGINT)
        self.assertIn("VERDICT  interrupted: nothing wrong was found; not examined: ", process.stdout.read())
        self.assertEqual(process.wait(PATIENCE), 130)

    def test_nobodyReads(self) -> None:
        """A reader that stops early, such as ``head``, causes no traceback."""
        read, write = os.pipe()
        os.close(read)
        target = self.target(self.serve())
        done = programs.run(*PROBE, "check", "--only", "connect", target, stdout=write)
        os.close(write)
        self.assertEqual(done.stderr, b"")


class PingTests(CommandTestCase):
    def test_everyTransport(self) -> None:
        """A line a round trip, and the sums of each target, and status 0."""
        server = self.serve("--port", "0", "--tls", "0", "--udp", "0")
        targets = [self.target(server, scheme) for scheme in ("tcp", "tls", "udp")]
        status, output = self.run_("ping", *targets, "--insecure", "-c", "3", "-i", "0.05")
        for target in targets:
            name = re.escape(target.replace("://", " "))
            self.assertEqual(len(re.findall(rf"^{name}: 56 bytes, number \d, [\d.]+ ms$", output, re.M)), 3)
            sums = rf"^--- {name}\n3 sent, 3 answered, 0 \w+( out)?, 0 corrupt, 0 reordered\nmin .*, jitter "
            self.assertRegex(output, re.compile(sums, re.M))
        self.assertEqual(status, 0)

    def test_source(self) -> None:
        """Pings come from the address that was asked for, and ``--json`` has an object for each."""
        server = self.serve("--port", "0", "--udp", "0", "--allow", "127.0.0.7")
        targets = [self.target(server, scheme) for scheme in ("tcp", "udp")]
        arguments = ("-c", "1", "--tos", "0xb8", "--json")
        status, output = self.run_("ping", *targets, *arguments, "--source", "127.0.0.7")
        objects = [json.loads(line) for line in output.splitlines()]
        self.assertEqual([each["number"] for each in objects[:2]], [1, 1])
        self.assertEqual([each["summary"]["answered"] for each in objects[2:]], [1, 1])
        self.assertEqual(status, 0)
        status, _ = self.run_("ping", *targets, *arguments, "--source", "127.0.0.8", "-W", "1")
        self.assertEqual(status, 1)

    def test_proxyHeader(self) -> None:
        """A service that expects a PROXY header gets one, in front of TLS too, and believes it."""
        options = ("--proxy-protocol", "--trust-proxy", "127.0.0.1", "--allow", "192.0.2.7")
        server = self.serve("--port", "0", "--tls", "0", *options)
        targets = [self.target(server, scheme) for scheme in ("tcp", "tls")]
        for version in ("v1", "v2"):
            for source, expected in (("192.0.2.7", 0), ("[2001:db8::7]:50", 1)):
                status, output = self.run_(
                    *("ping", *targets, "--insecure", "-c", "1"),
                    *("--send-proxy", version, "--proxy-source", source),
                )
                self.assertEqual(status, expected, output)

    def test_proxyHeaderOfCheck(self) -> None:
        """The connections of an examination begin with one, too."""
        server = self.serve("--port", "0", "--tls", "0", "--proxy-protocol", "--allow", "192.0.2.7")
        header = ("--send-proxy", "v2", "--proxy-source", "192.0.2.7")
        for scheme in ("tcp", "tls"):
            only = "connect,identity" + (",tls" if scheme == "tls" else "")
            trust = ("--insecure",) if scheme == "tls" else ()
            target = self.target(server, scheme)
            status, output = self.run_("check", target, *trust, "--quick", "--only", only, *header)
            self.assertEqual((status, output.count("FAIL")), (0, 0), output)

    def test_interrupted(self) -> None:
        """Ctrl-C prints the sums, and is a success if all pings were answered."""
        target = self.target(self.serve())
        process = programs.start(self, *PROBE, "ping", target, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        self.assertRegex(process.stdout.read(), r"(?m)^\d sent, \d answered, 0 timed out")
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_nobody(self) -> None:
        """An unanswered ping, over TCP or UDP, is reported, with status 1."""
        status, output = self.run_(
            *("ping", "127.0.0.1:1", "udp://127.0.0.1:1", "-c", "2", "-i", "0.05", "-W", "3")
        )
        self.assertEqual(status, 1)
        self.assertIn("tcp 127.0.0.1:1: number 2: no connection: refused\n", output)
        self.assertIn("--- tcp 127.0.0.1:1\n2 sent, 0 answered, 0 timed out, 2 refused, ", output)
        self.assertIn("udp 127.0.0.1:1: number 2: refused\n", output)
        self.assertIn("--- udp 127.0.0.1:1\n2 sent, 0 answered, 0 lost, 2 refused, ", output)

    def test_refusedCertificate(self) -> None:
        """A client's certificate that is missing or wrong is named, also after the handshake of TLS 1.3."""
        ours, other = (Authority(Path(self.mktemp())) for _ in range(2))
        certificate, key = ours.issue("localhost")
        tls = ("--tls", "0", "--certificate", certificate, "--key", key, "--client-ca", ours.path)
        target = self.target(self.serve(*tls), "tls")
        foreign, foreignKey = other.issue("localhost")
        for options, alert in (
            ((), "certificate required"),
            (("--cert", foreign, "--key", foreignKey), "unknown ca"),
        ):
            status, output = self.run_("ping", target, "--ca", ours.path, *options, "-c", "1")
            said = "TLS: the peer refuses our certificate"
            self.assertIn(f"number 1: {said}: {alert}\n", output)
            self.assertIn(f"0 timed out, 1 {said}, ", output)
            self.assertEqual(status, 1)

    def test_wrongPort(self) -> None:
        """A port that speaks TLS, or none where TLS is asked for, is named."""
        server = self.serve("--port", "0", "--tls", "0")
        plain, tls = (self.target(server, scheme).partition("://")[2] for scheme in ("tcp", "tls"))
        _, output = self.run_("ping", tls, "-c", "1")
        self.assertIn("the service may be full, or want TLS (tls://) or a PROXY header\n", output)
        _, output = self.run_("ping", f"tls://{plain}", "-c", "1", "--insecure")
        self.assertIn("no connection: no TLS: our own handshake came back\n", output)

    def test_wait(self) -> None:
        """``-W`` is the time of an answer: pieces of one that come for longer are none."""
        server = self.serve("--port", "0", "--fault", "chop=8", "--fault", "bandwidth=20B/s")
        status, output = self.run_("ping", self.target(server), "-c", "1", "-W", "1")
        self.assertEqual(status, 1)
        self.assertIn("number 1: timed out after 1 s\n", output)

    def test_underWay(self) -> None:
        """A ping that is under way at Ctrl-C is counted, and no answer at all is status 1."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            target = f"127.0.0.1:{listening.getsockname()[1]}"
            process = programs.start(self, *PROBE, "ping", target, stdout=subprocess.PIPE, text=True)
            listening.settimeout(PATIENCE)
            sock, _ = listening.accept()
            self.addCleanup(sock.close)
            sock.settimeout(PATIENCE)
            sock.recv(56, socket.MSG_WAITALL)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        self.assertIn("0 reordered, 1 under way\n", process.stdout.read())
        self.assertEqual(process.wait(PATIENCE), 1)


class StreamTests(CommandTestCase):
    """Commands whose standard streams are full, closed, or read by nobody."""

    def commands(self) -> dict[str, tuple[str, ...]]:
        """Returns a short run of each command, by its name."""
        target, result = self.target(self.serve()), self.mktemp()
        load = ("load", target, "-d", "100ms", "--warmup", "0")
        self.assertEqual(self.run_(*load, "--json", result)[0], 0)
        return {
            "ping": ("ping", target, "-c", "2", "-i", "0.05"),
            "check": ("check", target, "--quick", "--only", "identity"),
            "load": load,
            "compare": ("compare", result),
            "help": ("load", "--help"),
        }

    def shell(self, redirection: str, arguments: tuple[str, ...]) -> tuple[int, str]:
        """Runs a command under a shell's redirection; returns its status and its standard error."""
        line = f'"$@" {redirection}'
        done = subprocess.run(
            ("sh", "-c", line, "sh", *PROBE, *arguments), capture_output=True, text=True, timeout=TIMEOUT
        )
        return done.returncode, done.stderr

    def test_full(self) -> None:
        """A standard output that is full is one line, and status 2."""
        for name, arguments in self.commands().items():
            self.assertEqual(
                self.shell(">/dev/full", arguments),
                (2, "echo-probe: standard output: No space left on device\n"),
                name,
            )

    def test_notRead(self) -> None:
        """A standard output that nobody reads any more ends the command, without a word."""
        for name, arguments in self.commands().items():
            self.assertEqual(self.shell("| true", arguments), (0, ""), name)

    def test_closed(self) -> None:
        """A standard stream that is closed, or an error stream that is full, changes nothing."""
        for name, arguments in self.commands().items():
            for redirection in ("<&-", ">&-", "2>&-", "2>/dev/full", "<&- >&- 2>&-"):
                self.assertEqual(self.shell(redirection, arguments), (0, ""), (name, redirection))


class InstalledTests(CommandTestCase):
    def test_script(self) -> None:
        """The console script is the same."""
        script = Path(sys.executable).parent / "echo-probe"
        done = programs.run(script, "--version", text=True)
        self.assertRegex(done.stdout, r"^echo-probe \d")
