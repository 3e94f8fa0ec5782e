"""Session of a load: all runs of one command, each target in turn, in every repeat."""

from __future__ import annotations

import platform
import secrets
import shlex
import ssl
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import LoopingCall

from echo_app import __version__
from echo_app.probe.cli.loadoptions import LoadOptions
from echo_app.probe.cli.progress import LOOK, showOf
from echo_app.probe.load.run import Running
from echo_app.probe.load.workers import LoadFailed
from echo_app.probe.net.connecting import ConnectionSettings
from echo_app.probe.net.errors import NetworkError
from echo_app.probe.net.stream import connect
from echo_app.probe.report.summary import figures
from echo_app.probe.results.machine import describeMachine
from echo_app.probe.results.results import Results, Run
from echo_app.targets import Target


def versions() -> dict[str, str]:
    """Returns the versions of the libraries that figures depend on, by name."""
    return {
        "echo_app": __version__,
        "Python": platform.python_version(),
        "hdrhistogram": version("hdrhistogram"),
        "OpenSSL": ssl.OPENSSL_VERSION.removeprefix("OpenSSL "),
    }


class LoadSession:
    """Makes the runs of one command.

    :param complain: called with a line for each run that has ended.
    :ivar results: so far.
    """

    def __init__(self, reactor: Any, options: LoadOptions, complain: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._targets = options.targets
        self._repeat = options["repeat"]
        self._complain = complain
        self._seed = options["seed"] or secrets.randbelow(1 << 32) + 1
        # The same command with this seed sends the same messages at the same moments.
        seed = [] if options["seed"] else ["--seed", str(self._seed)]
        command = shlex.join(["echo-probe", "load", *options.typed, *seed])
        self.results = Results(
            command, versions(), describeMachine(), options.settings, label=options["label"]
        )

    async def run(self) -> None:
        """Makes all runs; targets take turns (A B A B), so that noise of the machine meets all of them.

        :raise LoadFailed: when a target can't be measured; the text names it.
        :raise CancelledError: when a run was interrupted.
        """
        if len(self._targets) > 1:
            for target in self._targets:
                await self._try(target)
        turns = [(repeat, target) for repeat in range(self._repeat) for target in self._targets]
        for number, (repeat, target) in enumerate(turns, 1):
            name = f"{target}, {number} of {len(turns)}" if len(turns) > 1 else str(target)
            # In a repeat, all targets have the same random numbers.
            run = await self._measure(target, name, self._seed + repeat)
            self.results.runs.append(run)
            if run.isInterrupted:
                raise CancelledError
            if len(turns) > 1:
                self._complain(f"{name}: {figures(run, self.results.settings)}")

    async def _try(self, target: Target) -> None:
        """Connects once: an error of the last target is not one after the whole run of the first."""
        try:
            if target.isStream:
                settings = self.results.settings
                ours = ConnectionSettings(proxy=settings.proxy)
                await (await connect(self._reactor, target, settings.wait, ours)).close()
        except NetworkError as error:
            raise LoadFailed(f"{target.text!r}: {error}") from error

    async def _measure(self, target: Target, name: str, seed: int) -> Run:
        running = Running(self._reactor, target, self.results.settings)
        show = showOf(running, name, sys.stderr)
        looking = LoopingCall(show.look)
        looking.clock = self._reactor
        looking.start(LOOK)
        try:
            return await running.measure(seed)
        except LoadFailed as error:
            raise LoadFailed(f"{target.text!r}: {error}") from error
        finally:
            looking.stop()
            show.end()
