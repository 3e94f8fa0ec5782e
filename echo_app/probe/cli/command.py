"""Commands of ``echo-probe``, and their exit status."""

from __future__ import annotations

import json
import secrets
import signal
import sys
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from echo_app.clock import makeMonotonic
from echo_app.probe.checks.examination import contextOf, costOf, examine
from echo_app.probe.cli.arguments import TargetOptions
from echo_app.probe.cli.compare import CompareOptions, runCompare, toJson
from echo_app.probe.cli.findmax import MaximumSearch, SearchReport
from echo_app.probe.cli.loadoptions import LoadOptions, raiseDescriptorLimit
from echo_app.probe.cli.loadreport import LoadReport
from echo_app.probe.cli.loadsession import LoadSession
from echo_app.probe.cli.options import CheckOptions, Options, PingOptions
from echo_app.probe.cli.output import Output, emptied, openStreams, printable, writeLine, written
from echo_app.probe.cli.ping import ping
from echo_app.probe.cli.pingreport import JsonReport, TextReport, now
from echo_app.probe.judge.judge import Verdict, againstBaseline, judge
from echo_app.probe.load.workers import LoadFailed
from echo_app.probe.report.examination import Examination
from echo_app.probe.report.junit import comparisonCases, junit
from echo_app.probe.report.page import page
from echo_app.probe.results.severity import Severity
from echo_app.targets import BadTarget, Target

# A shell reports 130 for a command that SIGINT ended.
GOOD, FINDING, NOT_STARTED, INTERRUPTED = 0, 1, 2, 130


_output = Output()


def say(line: str) -> None:
    """Prints a line, now, unless standard output has failed."""
    _output.say(line)


def complain(line: str) -> None:
    """Prints a line, now, on standard error; if that fails, there is no way to tell."""
    writeLine(line, sys.stderr)


async def runPing(reactor: Any, options: PingOptions) -> int:
    """Pings; returns the exit status."""
    reportOf: Any = TextReport
    if options["json"]:
        reportOf = JsonReport
    elif options["timestamps"]:
        reportOf = partial(TextReport, clock=now)
    random = Random(options["seed"])
    return _status(options, await ping(reactor, options.targets, options.pings, random, say, reportOf))


async def runCheck(reactor: Any, options: CheckOptions) -> int:
    """Examines the direct route, if there is one, and the target; returns the exit status."""
    seed = options["seed"] or secrets.randbelow(1 << 32) + 1
    target, *baselines = options.targets
    direct = [await _examine(reactor, options, baseline, seed) for baseline in baselines]
    examination = await _examine(reactor, options, target, seed, *(each.verdict for each in direct))
    if options["json"]:
        route = {"baseline": direct[0].data()} if direct else {}
        say(json.dumps(examination.data() | route, indent=2))
    verdict = examination.verdict
    isGood = not verdict.isFailed and not (options["strict"] and verdict.isWarned)
    return GOOD if isGood else FINDING


async def _examine(
    reactor: Any, options: CheckOptions, target: Target, seed: int, direct: Verdict | None = None
) -> Examination:
    """Examines a target, and judges it against the direct route's verdict."""
    context = contextOf(reactor, target, options.settings, Random(seed))
    tell = (lambda line: None) if options["json"] else say
    examination = Examination(context, costOf(context, options.checks), seed, tell)
    try:
        await examine(context, options.checks, examination.ran)
    except CancelledError:
        examination.end(judge(context.evidence), "interrupted: ")
        raise
    verdict = judge(context.evidence)
    examination.end(verdict if direct is None else againstBaseline(verdict, direct))
    return examination


async def runLoad(reactor: Any, options: LoadOptions) -> int:
    """Measures, and reports the runs so far after an interruption or a failure; returns the exit status."""
    raiseDescriptorLimit()
    if not all([emptied(name, options[name], complain) for name in ("json", "report", "junit")]):
        return NOT_STARTED
    session = LoadSession(reactor, options, complain)
    search = MaximumSearch(session, options) if options.held else None
    ended, why = GOOD, ""
    try:
        await (session if search is None else search).run()
    except CancelledError:
        ended, why = INTERRUPTED, "interrupted"
        if not (session if search is None else search).steps:
            complain("interrupted before anything was measured")
    except LoadFailed as error:
        complain(printable(str(error)))
        ended, why = NOT_STARTED, str(error)
    report = LoadReport(options, session.steps, why)
    if search is not None:
        report = SearchReport(options, search, why)
    if not report.publish(say, complain):
        return NOT_STARTED
    if ended != NOT_STARTED and report.runs and report.isSilent:
        return FINDING
    return ended or (FINDING if report.isFinding else GOOD)


def _status(options: TargetOptions, severities: Collection[Severity | None]) -> int:
    bad = {Severity.FAIL, Severity.WARN} if options["strict"] else {Severity.FAIL}
    return FINDING if bad & set(severities) else GOOD


def runUntilDone(reactor: Any, work: Callable[[Any], Coroutine[Any, Any, int]]) -> int:
    """Runs the reactor until some work is done. SIGINT and SIGTERM cancel the work, and it may still report.

    A second signal cancels it again.

    :param work: a coroutine function that returns an exit status.
    """
    statuses: list[int] = []
    done: Deferred[None] = Deferred()
    handlers: dict[int, Any] = {}

    def start() -> None:
        running = Deferred.fromCoroutine(work(reactor))
        reactor.addSystemEventTrigger("before", "shutdown", cancel, running)
        # Not at once: the work itself has called.
        _output.failed = lambda: reactor.callFromThread(running.cancel)
        running.addErrback(_statusOf).addCallback(statuses.append).addBoth(stop)

    def cancel(running: Deferred[Any]) -> Deferred[None]:
        for number in (signal.SIGINT, signal.SIGTERM) if not done.called else ():
            handlers[number] = signal.signal(
                number, lambda number, frame: reactor.callFromThread(running.cancel)
            )
        running.cancel()
        return done

    def stop(result: object) -> None:
        done.callback(None)
        # Under Ctrl-C it is stopping already.
        with suppress(ReactorNotRunning):
            reactor.stop()

    reactor.callWhenRunning(start)
    try:
        reactor.run()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return _judged(statuses[0])


def _statusOf(failure: Failure) -> int:
    """Returns the status of work that ended with an exception."""
    if failure.check(CancelledError):
        return INTERRUPTED
    complain(failure.getTraceback().rstrip())
    return NOT_STARTED


def _judged(status: int) -> int:
    """Returns the status of a command, which is another one if standard output has failed."""
    global _output
    output, _output = _output, Output()
    if output.error is None:
        return status
    if isinstance(output.error, BrokenPipeError):
        # Its reader has ended, such as ``head``, and wants no more.
        return GOOD
    complain(printable(f"standard output: {output.error.strerror}"))
    return NOT_STARTED


def _notStarted(reason: str) -> SystemExit:
    """Prints the reason; returns the exception that ends the process."""
    complain(printable(reason))
    return SystemExit(NOT_STARTED)


def _compared(options: CompareOptions) -> int:
    """Compares results; returns the exit status."""
    results, names = options.results, options.texts
    files: dict[str, Callable[[], str]] = {
        "report": lambda: page(results, names, options["title"]),
        "junit": lambda: junit("compare", list(comparisonCases(options.subjects))),
        "json": lambda: toJson(options.subjects) + "\n",
    }
    isWritten = all(
        [
            _fileWritten(name, options[name], make)
            for name, make in files.items()
            if options[name] not in (None, "-")
        ]
    )
    isWorse = runCompare(options, say, complain)
    if not isWritten:
        return NOT_STARTED
    return _judged(FINDING if isWorse and options["fail-if-worse"] else GOOD)


def _fileWritten(option: str, path: str | Path, make: Callable[[], str]) -> bool:
    """Writes the text of an option's file; returns whether it is written."""
    return written(option, path, lambda: Path(path).write_text(make(), encoding="utf-8"), complain)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command.

    :raise SystemExit: 0 good, 1 a finding, 2 could not start.
    """
    openStreams()
    options = Options()
    try:
        options.parseOptions(arguments)
    except UsageError as error:
        raise _notStarted(str(error)) from None
    except (OSError, SystemExit) as ended:
        # The help or the version was printed.
        _output.end(ended if isinstance(ended, OSError) else None)
        raise SystemExit(_judged(GOOD)) from None
    if isinstance(options.subOptions, CompareOptions):
        raise SystemExit(_compared(options.subOptions))
    from twisted.internet import reactor

    makeMonotonic(reactor)
    for target in options.subOptions.targets:
        try:
            target.endpoint(reactor, 1)
        except BadTarget as error:
            raise _notStarted(f"{target.text!r}: {error}") from None
    command: Any = {"ping": runPing, "check": runCheck, "load": runLoad}[str(options.subCommand)]
    raise SystemExit(runUntilDone(reactor, partial(command, options=options.subOptions)))
