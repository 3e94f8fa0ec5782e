"""The options of faults, and the plan that comes of them."""

from __future__ import annotations

import os
from pathlib import Path

from echo_app.cli.listenerkinds import STREAMS, listed
from echo_app.faults.flowlayer import CAP
from echo_app.faults.plan import FaultPlan
from tests.unit.cli.commandline import MakeServiceTestCase, OptionsTestCase, parsed


class OptionsTests(OptionsTestCase):
    def test_faults(self) -> None:
        """Faults can be asked for more than once, and keep their order."""
        options = parsed("--fault", "stall", "--fault", "latency=50ms")
        self.assertEqual(list(map(str, options["fault"])), ["stall", "latency=50ms"])

    def test_wrong(self) -> None:
        """A wrong spec, seed or size is refused with its option, as typed."""
        self.assertIn("--fault 'latency': at 1, 'latency' needs a value", self.refusal("--fault", "latency"))
        self.assertIn("--fault-seed '-1': not a whole", self.refusal("--fault-seed", "-1"))
        for text in ("0", "1x", "0.5B", "2000000MiB"):
            self.assertIn(f"--fault-buffer {text!r}: not a whole", self.refusal("--fault-buffer", text))

    def test_escaped(self) -> None:
        """What can't be printed is escaped in the line."""
        self.assertTrue(self.refusal("--fault", "\x1b[2J=\n").isprintable())

    def test_withoutUse(self) -> None:
        """A fault that would apply to nothing is refused."""
        for arguments, reason in (
            (
                ("--fault", "loss=1%"),
                "--fault 'loss=1%': loss needs messages: --responder with a framing, or --udp",
            ),
            (
                ("--responder", "chargen", "--fault", "corrupt=1,share=1%"),
                "--fault 'corrupt=1,share=1%': share needs messages: --responder with a framing, or --udp",
            ),
            (
                ("--udp", "0", "--port", "0", "--fault", "close,messages=3"),
                "--fault 'close,messages=3': messages needs messages: --responder with a framing",
            ),
            (("--udp", "0", "--fault", "stall"), f"--fault 'stall': there is no {listed(STREAMS)}"),
            (("--udp", "0", "--fault", "latency=1s,direction=in"), "there is no --port"),
            (("--udp", "0", "--fault-preamble"), "--fault-preamble: there is no --port"),
            (
                ("--port", "0", "--fault", "connect=2s"),
                "--fault 'connect=2s': connect needs an upstream: --forward",
            ),
            (("--fault-seed", "0"), "--fault-seed 0: there is no --fault"),
            (("--fault-buffer", "1KiB"), "--fault-buffer 1024: there is no --fault"),
        ):
            self.assertIn(reason, self.refusal(*arguments))
        for used in (
            ("--udp", "0", "--fault", "latency=1s"),
            ("--listen", "unix:x", "--fault", "latency=1s"),
            ("--udp", "0", "--fault-file", "x", "--fault-seed", "0"),
            ("--fault-preamble", "--fault-seed", "0"),
            ("--udp", "0", "--fault", "loss=1,each=3"),
            ("--port", "0", "--udp", "0", "--fault", "loss=1,each=3"),
            ("--responder", "lines", "--fault", "close,messages=3"),
            ("--port", "0", "--forward", "127.0.0.1:1", "--fault", "connect=2s"),
        ):
            parsed(*used)


class PlanTests(MakeServiceTestCase):
    def plan(self, *arguments: str) -> FaultPlan:
        """Makes a service; returns its fault plan."""
        self.make("--port", "0", *arguments)
        plan: FaultPlan = self.made["faults"]
        return plan

    def test_none(self) -> None:
        """Without any of the options there is no plan."""
        self.assertIsNone(self.plan())
        self.assertFalse(self.made["faultPreamble"])

    def test_settings(self) -> None:
        """Every setting arrives."""
        plan = self.plan("--fault", "stall", "--fault-seed", "0", "--fault-buffer", "64KiB")
        self.assertEqual((list(map(str, plan.faults)), plan.seed, plan.cap), (["stall"], 0, 65536))
        self.assertEqual(self.plan("--fault", "stall", "--fault-buffer", "100").cap, 100)
        plan = self.plan("--fault-preamble")
        self.assertEqual((plan.faults, plan.cap, self.made["faultPreamble"]), ((), CAP, True))

    def test_file(self) -> None:
        """A file's faults are there from the start."""
        path = Path(self.mktemp())
        path.write_text("loss=1%\n")
        plan = self.plan("--udp", "0", "--fault", "stall", "--fault-file", os.path.relpath(path))
        self.assertEqual(list(map(str, plan.faults)), ["stall", "loss=1%"])

    def test_wrongFile(self) -> None:
        """A file that can't be used ends the command with its name as typed, and the reason."""
        path = Path(self.mktemp())
        path.write_text("\n\nlatency=5\n")
        name, other = os.path.relpath(path), self.mktemp()
        Path(other).write_text("reset,each=2\n")
        for arguments, reason in (
            (("--fault-file", name), f"--fault-file {name!r}: line 3: at 9, '5' is not a time"),
            (("--fault-file", other), f"--fault-file {other!r}: 'reset,each=2': each needs messages"),
            (("--fault-file", "none"), "--fault-file 'none': No such file or directory"),
            (("--fault", "stall") * 33, "--fault: 33 faults, where 32 is the most"),
        ):
            self.assertIn(f"echo: {reason}", self.failure("--port", "0", *arguments))
