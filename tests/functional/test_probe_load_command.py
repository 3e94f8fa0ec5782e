"""``echo-probe load`` as it is typed, and its workers as processes."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

from twisted.internet.defer import Deferred

from echo_app.probe.load.run import Running
from echo_app.probe.load.workers import LoadFailed
from echo_app.probe.results.results import LoadSettings, Results, Run
from echo_app.targets import parseTarget
from echo_app.testing import EchoProcess
from tests import SUPPORT
from tests.support import programs, warm
from tests.support.programs import TIMEOUT
from tests.support.service import PATIENCE, ServiceTestCase
from tests.unit.probe.load.test_totals import times

LOAD = (sys.executable, "-m", "echo_app.probe", "load")
SHORT = ("-d", "500ms", "--warmup", "0")
EVERYTHING = ("--port", "0", "--tls", "0", "--listen", "unix:echo.sock", "--udp", "0", "--udp-rate", "0")
FAKE = str(SUPPORT / "loadworker.py")


class CommandTests(ServiceTestCase):
    def run_(self, *arguments: str) -> tuple[int, str, str]:
        """Runs the command; returns its status, its output, and its standard error."""
        done = warm.run((*LOAD, *arguments), ".", TIMEOUT)
        return done.returncode, done.stdout, done.stderr

    def targets(self, server: EchoProcess) -> list[str]:
        """Returns a target of each transport."""
        names = []
        for listener in server.listeners:
            isPath = listener.transport == "unix"
            names.append(
                f"{listener.transport}://" + (listener.host if isPath else f"{listener.host}:{listener.port}")
            )
        return names

    def everyTransport(self, *arguments: str) -> Results:
        """Loads every transport with four connections; returns the results."""
        server = self.serve(*EVERYTHING)
        targets = self.targets(server)
        self.assertEqual(len(targets), 4)
        status, output, errors = self.run_(
            *(*targets, "--insecure", "-c", "4", *SHORT, "--seed", "3", "--json", "-", *arguments)
        )
        results = Results.fromJson(output)
        self.assertEqual(results.targets(), targets)
        self.assertEqual((status, [run.errors for run in results.runs]), (0, [{}] * 4), errors)
        for target in targets:
            self.assertIn(f"\n{target}\n  sent ", errors)
        return results

    def test_noAnswer(self) -> None:
        """A load that nobody answers has failed; what was under way when it began is an error."""
        server = self.serve(*EVERYTHING, "--fault", "blackhole", "--fault", "loss=100%")
        # Over TLS the handshake is not answered either, and there is no load.
        for target in (each for each in self.targets(server) if not each.startswith("tls")):
            status, output, errors = self.run_(
                *(target, "-d", "1", "--warmup", "500ms", "-W", "2", "--json", "-")
            )
            self.assertEqual(status, 1, errors)
            [run] = Results.fromJson(output).runs
            error = "lost" if target.startswith("udp") else "timed out"
            self.assertEqual((run.sent, run.carried, run.errors), (0, 1, {error: 1}), errors)
            self.assertIn("nothing was answered", errors)

    def test_secondTarget(self) -> None:
        """A target that refuses is said before another one is measured, and no earlier result stays."""
        path = Path(self.mktemp())
        path.write_text("an earlier result")
        good = self.targets(self.serve("--port", "0"))[0]
        status, output, errors = self.run_(good, "127.0.0.1:1", *SHORT, "--json", str(path))
        self.assertEqual((status, output, errors), (2, "", "echo-probe: '127.0.0.1:1': refused\n"))
        self.assertEqual(path.read_text(), "")

    def test_failIf(self) -> None:
        """A condition that holds is status 1, and a line says which; the label is in the result."""
        (target,) = self.targets(self.serve())
        conditions = ("--fail-if", "p50>1us", "--fail-if", "p50>1min", "--label", "version 2")
        status, output, _ = self.run_(target, *SHORT, *conditions)
        self.assertEqual(status, 1)
        self.assertRegex(output, r"(?m)^failed: p50>1us: p50 is [\d.]+ ms$")
        self.assertNotIn("1min", output)
        self.assertEqual(output.splitlines()[0], "version 2")
        self.assertRegex(output, r"(?m)^  probe      (p99|at most) [\d.]+ ms late, \d+% busy$")
        status, output, _ = self.run_(target, *SHORT, "--fail-if", "p50>1min")
        self.assertEqual((status, output.count("failed")), (0, 0))

    def test_count(self) -> None:
        """A load of so many messages sends them, in several processes too, and no more."""
        targets = self.targets(self.serve("--port", "0", "--udp", "0", "--udp-rate", "0"))
        for more in ((), ("--rate", "1000")):
            arguments = ("-n", "203", "-c", "3", "--processes", "2", "--json", "-", *more)
            status, output, errors = self.run_(*targets, *arguments)
            self.assertEqual(status, 0, errors)
            runs = Results.fromJson(output).runs
            self.assertEqual([(run.due, run.answered) for run in runs], [(203, 203)] * 2)
            for run in runs:
                self.assertLess(run.seconds, PATIENCE)

    def test_tolerantFailIf(self) -> None:
        """A condition says how many errors are a failure, in place of any; a wrong byte still is one."""
        (target,) = self.targets(self.serve("--fault", "close,after=8KiB"))
        for limit, expected in (("100%", 0), ("1", 1)):
            status, output, _ = self.run_(target, *SHORT, "--fail-if", f"errors>{limit}")
            self.assertEqual(status, expected, output)
            self.assertRegex(output, r"(?m)^  errors     [\d,]+ (FIN|reset)")

    def test_proxyHeader(self) -> None:
        """Each connection of a load sends its header, in front of TLS too."""
        trusted = ("--proxy-protocol", "--trust-proxy", "127.0.0.1", "--allow", "192.0.2.7")
        targets = self.targets(self.serve("--port", "0", "--tls", "0", *trusted))
        header = ("--send-proxy", "v2", "--proxy-source", "192.0.2.7", "--per-connection", "10")
        status, output, errors = self.run_(*targets, "--insecure", *SHORT, *header)
        self.assertEqual(status, 0, output + errors)
        self.assertIn("PROXY header v2 of 192.0.2.7; 0.5 s", output)

    def test_closedLoop(self) -> None:
        """In a closed loop every transport is asked as often as it answers."""
        for run in self.everyTransport().runs:
            self.assertEqual(run.due, run.sent)
            self.assertGreater(run.answered, 0, run.target)
            self.assertEqual((run.bytes, len(run.latency)), (1024 * run.answered, run.answered))
            self.assertEqual(sum(each.answered for each in run.intervals), run.answered)

    def test_openLoop(self) -> None:
        """An open loop sends to every transport at the given rate, with any number of processes."""
        results = self.everyTransport("-r", "400", "--arrivals", "uniform", "--processes", "2")
        for run in results.runs:
            self.assertApproximates(run.sent, 200, 3, run.target)
            self.assertEqual((run.due, run.answered), (run.sent, run.sent))
        self.assertIn("--arrivals uniform", results.command)

    def test_wrongBytes(self) -> None:
        """Other bytes than were sent are status 1, and it is said where they are."""
        (target,) = self.targets(self.serve("--port", "0", "--fault-seed", "5", "--fault", "corrupt=1e-2"))
        status, output, _ = self.run_(target, *SHORT)
        self.assertEqual(status, 1)
        self.assertRegex(output, r"\n  errors     .*\d corrupt")
        self.assertRegex(output, r"\n  wrong      message \d+, byte \d+: 0x.. came, 0x.. was sent ")


class EndTests(ServiceTestCase):
    """Loads that end before their time, seen by the service."""

    def setUp(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        listening.settimeout(PATIENCE)
        self.target = f"127.0.0.1:{listening.getsockname()[1]}"
        self.path = self.mktemp()
        self.command = programs.start(
            self,
            *(*LOAD, self.target, "--warmup", "0", "-d", "1h", "--json", self.path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.sock, _ = listening.accept()
        self.addCleanup(self.sock.close)
        self.sock.settimeout(PATIENCE)
        # From now on it is measured.
        self.sock.sendall(self.sock.recv(1024, socket.MSG_WAITALL))
        self.sock.recv(1024, socket.MSG_WAITALL)

    def test_interrupted(self) -> None:
        """Ctrl-C ends it, and everything that was measured is said, in text and in JSON."""
        self.command.send_signal(signal.SIGINT)
        output, errors = self.command.communicate(timeout=PATIENCE)
        self.assertEqual((self.command.returncode, errors), (130, ""))
        self.assertRegex(output, r"\n  interrupted after [\d.]+ s of 3600 s\n")
        (run,) = Results.fromJson(Path(self.path).read_text()).runs
        self.assertEqual((run.isInterrupted, run.answered, run.errors), (True, 1, {}))
        self.assertEqual(run.outstanding, 1)
        self.assertIn("\n  at the end 1 message was under way\n", output)

    def test_killed(self) -> None:
        """No worker outlives its parent, however that ends."""
        pid = self.command.pid
        (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        descriptor = os.pidfd_open(int(worker))
        self.addCleanup(os.close, descriptor)
        self.command.kill()
        # It can be read when the process has ended (pidfd_open(2)).
        self.assertTrue(select.select([descriptor], [], [], PATIENCE)[0])

    def test_workerKilled(self) -> None:
        """A worker that is killed is status 2 and one line."""
        pid = self.command.pid
        (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        output, errors = self.command.communicate(timeout=PATIENCE)
        line = f"echo-probe: '{self.target}': worker 1 of 1: killed by signal 9\n"
        self.assertEqual((self.command.returncode, output, errors), (2, "", line))


class WorkerTests(ServiceTestCase):
    """Workers that are processes, and break the rules."""

    async def measure(self, mode: str) -> Run:
        from twisted.internet import reactor

        settings = LoadSettings(connections=2, duration=0.2, warmup=0.0, processes=2)
        command = (sys.executable, "-I", FAKE, mode, times(*[0.001] * 20))
        running = Running(reactor, parseTarget("127.0.0.1:1"), settings, command=command)
        return await Deferred.fromCoroutine(running.measure(1))

    async def test_good(self) -> None:
        """The reports of two workers are added up."""
        run = await self.measure("good")
        self.assertEqual((run.answered, run.seconds, len(run.latency)), (20, 0.2, 40))

    async def test_bad(self) -> None:
        """Every other one is an error in words."""
        for mode, reason in (
            ("refused", "refused"),
            ("killed", "worker 1 of 2: killed by signal 9"),
            ("raises", "ZeroDivisionError"),
            ("endless", "a line without an end"),
        ):
            error = await self.assertFailure(Deferred.fromCoroutine(self.measure(mode)), LoadFailed)
            self.assertIn(reason, str(error))
