"""``echo-probe``: what its commands do, and its exit status."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from echo_app.probe.arguments import TargetOptions
from echo_app.probe.checks import Context
from echo_app.probe.examination import againstBaseline, costOf, examine
from echo_app.probe.findings import Result, Status
from echo_app.probe.options import CheckOptions, Options, PingOptions
from echo_app.probe.ping import ping
from echo_app.probe.report import Examination
from echo_app.probe.targets import BadTarget, Target

# 130 is what a shell says of a command that SIGINT ended.
GOOD, FINDING, NOT_STARTED, INTERRUPTED = 0, 1, 2, 130


def say(line: str) -> None:
    """Prints a line, now."""
    print(line, flush=True)


async def runPing(reactor: Any, options: PingOptions) -> int:
    """Pings; returns the exit status."""
    return _status(options, await ping(reactor, options.targets, options.pings, Random(options["seed"]), say))


async def runCheck(reactor: Any, options: CheckOptions) -> int:
    """Examines the target, and the direct route before it; returns the exit status."""
    seed = options["seed"] or secrets.randbelow(1 << 32) + 1
    direct: list[Examination] = []
    for baseline in options.targets[1:]:
        direct = [await _examine(reactor, options, baseline, seed, [])]
    examination = await _examine(reactor, options, options.targets[0], seed, direct)
    if options["json"]:
        route = {"baseline": direct[0].data()} if direct else {}
        say(json.dumps(examination.data() | route, indent=2))
    return _status(options, [each.status for each in examination.results])


async def _examine(
    reactor: Any, options: CheckOptions, target: Target, seed: int, direct: Sequence[Examination]
) -> Examination:
    context = Context(reactor, target, options.settings, Random(seed))
    quietly = options["json"]
    examination = Examination(
        context, costOf(context, options.checks), seed, (lambda line: None) if quietly else say
    )
    known: dict[str, Result] = {each.name: each for one in direct for each in one.results}

    def found(result: Result) -> None:
        examination.found(againstBaseline(result, known))

    try:
        await examine(context, options.checks, found)
    except CancelledError:
        examination.end("interrupted: ")
        raise
    examination.end()
    return examination


def _status(options: TargetOptions, statuses: Collection[Status]) -> int:
    bad = {Status.FAIL, Status.WARN} if options["strict"] else {Status.FAIL}
    return FINDING if bad & set(statuses) else GOOD


def runUntilDone(reactor: Any, work: Callable[[Any], Coroutine[Any, Any, int]]) -> int:
    """Runs the reactor until some work is done; Ctrl-C cancels it, and waits for what it still has to say.

    :param work: a coroutine function that returns an exit status.
    """
    statuses: list[int] = []
    done: Deferred[None] = Deferred()

    def start() -> None:
        running = Deferred.fromCoroutine(work(reactor))
        reactor.addSystemEventTrigger("before", "shutdown", cancel, running)
        running.addErrback(_statusOf).addCallback(statuses.append).addBoth(stop)

    def cancel(running: Deferred[Any]) -> Deferred[None]:
        running.cancel()
        return done

    def stop(result: object) -> None:
        done.callback(None)
        # Under Ctrl-C it is stopping already.
        with suppress(ReactorNotRunning):
            reactor.stop()

    reactor.callWhenRunning(start)
    reactor.run()
    return statuses[0]


def _statusOf(failure: Failure) -> int:
    """Returns the status of work that ended with an exception."""
    if failure.check(CancelledError):
        return INTERRUPTED
    if failure.check(BrokenPipeError):
        # Nobody reads on, as under head: what is printed at the exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD
    failure.printTraceback(sys.stderr)
    return NOT_STARTED


def _notStarted(reason: str) -> SystemExit:
    """Says why, with nothing in it that a terminal would act upon; returns the end."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in reason)
    print(f"echo-probe: {line}", file=sys.stderr)
    return SystemExit(NOT_STARTED)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command.

    :raise SystemExit: 0 good, 1 a finding, 2 could not start.
    """
    options = Options()
    try:
        options.parseOptions(arguments)
    except UsageError as error:
        raise _notStarted(str(error)) from None
    from twisted.internet import reactor

    for target in options.subOptions.targets:
        try:
            target.endpoint(reactor, 1)
        except BadTarget as error:
            raise _notStarted(f"{target.text!r}: {error}") from None
    command: Any = {"ping": runPing, "check": runCheck}[str(options.subCommand)]
    raise SystemExit(runUntilDone(reactor, partial(command, options=options.subOptions)))
