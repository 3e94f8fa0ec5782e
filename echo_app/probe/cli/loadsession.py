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
from echo_app.probe.results.figures import perSecond
from echo_app.probe.results.machine import describeMachine
from echo_app.probe.results.results import LoadSettings, Results, Run
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
    :ivar command: the command line that repeats the same messages at the same moments.
    :ivar steps: the results so far: of one step, unless there are several rates. Each has a run at least.
    """

    def __init__(self, reactor: Any, options: LoadOptions, complain: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._options = options
        self._targets = options.targets
        self._complain = complain
        self._seed = options["seed"] or secrets.randbelow(1 << 32) + 1
        seed = [] if options["seed"] else ["--seed", str(self._seed)]
        self.command = shlex.join(["echo-probe", "load", *options.typed, *seed])
        self.steps: list[Results] = []

    async def run(self) -> None:
        """Makes all runs of all steps.

        :raise LoadFailed: when a target can't be measured; the text names it.
        :raise CancelledError: when a run was interrupted.
        """
        if len(self._targets) > 1:
            for target in self._targets:
                await self._try(target)
        for settings in self._options.steps:
            await self.step(settings)

    async def step(self, settings: LoadSettings) -> Results:
        """Makes the runs of a step; targets take turns (A B A B), so that noise meets all of them.

        :raise LoadFailed: as :meth:`run`.
        :raise CancelledError: as :meth:`run`.
        """
        label = self._options["label"] or ""
        results = Results(self.command, versions(), describeMachine(), settings, label=label)
        turns = [(repeat, target) for repeat in range(self._options["repeat"]) for target in self._targets]
        for number, (repeat, target) in enumerate(turns, 1):
            name = f"{target}, {number} of {len(turns)}" if len(turns) > 1 else str(target)
            if settings.rate is not None and self._options.hasSteps:
                name += f", {perSecond(settings.rate)}"
            # In a repeat, all targets have the same random numbers.
            run = await self._measure(target, settings, name, self._seed + repeat)
            results.runs.append(run)
            if number == 1:
                self.steps.append(results)
            if run.isInterrupted:
                raise CancelledError
            if len(turns) > 1 or self._options.hasSteps:
                self._complain(f"{name}: {figures(run)}")
        return results

    async def _try(self, target: Target) -> None:
        """Connects once: an error of the last target is not one after the whole run of the first."""
        try:
            if target.isStream:
                settings = self._options.settings
                ours = ConnectionSettings(proxy=settings.proxy)
                await (await connect(self._reactor, target, settings.wait, ours)).close()
        except NetworkError as error:
            raise LoadFailed(f"{target.text!r}: {error}") from error

    async def _measure(self, target: Target, settings: LoadSettings, name: str, seed: int) -> Run:
        running = Running(self._reactor, target, settings)
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
