"""Runs the probe, or the plain client, through paths that are each open in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests import ROOT
from tests.zoo.path import Path, Place

ZOO = (sys.executable, "-m", "tests.zoo")
PROBE = (sys.executable, "-m", "echo_app.probe", "check", "--json")

# Seconds in which a path closes.
CLOSES = 20.0

_NAME = 20


class NotOpen(Exception):
    """A path that could not be opened; the text is its output."""


@contextmanager
def served(path: Path) -> Iterator[Place]:
    """Opens a path in a process of its own.

    :raise NotOpen: with the output of that process.
    """
    pipe = subprocess.PIPE
    serving = subprocess.Popen(
        (*ZOO, "serve", "--json", path.name), stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT
    )
    try:
        assert serving.stdout is not None
        line = serving.stdout.readline()
        if not line:
            raise NotOpen(serving.communicate()[1].strip())
        given = json.loads(line)
        yield Place(given["target"], tuple(given["options"]), tuple(given["within"]))
    finally:
        try:
            serving.communicate(timeout=CLOSES)
        except subprocess.TimeoutExpired:
            serving.kill()
            serving.communicate()


def examine(path: Path, options: Sequence[str], limit: float) -> dict[str, Any]:
    """Lets the probe examine a path; returns the planted fault and the probe's data.

    :param options: further options of ``echo-probe check``.
    :param limit: seconds after which the probe is interrupted.
    """
    result = _planted(path)
    start = time.monotonic()
    try:
        with served(path) as place:
            start = time.monotonic()
            command = (*place.within, *PROBE, place.target, *place.options, *path.options, *options)
            done = subprocess.run(
                command, capture_output=True, text=True, cwd=ROOT, timeout=limit, stdin=subprocess.DEVNULL
            )
    except (NotOpen, subprocess.TimeoutExpired) as error:
        return result | {"problem": str(error), "seconds": _since(start)}
    result |= {"exit": done.returncode, "seconds": _since(start)}
    try:
        data = json.loads(done.stdout)
    except ValueError:
        return result | {"problem": (done.stderr or done.stdout).strip()}
    return result | {"examination": data}


def verify(path: Path, limit: float) -> dict[str, Any]:
    """Measures the fault of a path with the plain client; returns the planted fault and the observation."""
    result = _planted(path)
    start = time.monotonic()
    try:
        with served(path) as place:
            start = time.monotonic()
            given = {"name": path.name, "target": place.target, "options": place.options, "within": ()}
            done = subprocess.run(
                (*place.within, *ZOO, "measure"),
                input=json.dumps(given),
                capture_output=True,
                text=True,
                cwd=ROOT,
                timeout=limit,
            )
    except (NotOpen, subprocess.TimeoutExpired) as error:
        return result | {"problem": str(error), "seconds": _since(start)}
    result |= {"seconds": _since(start)}
    if done.returncode:
        return result | {"problem": (done.stdout + done.stderr).strip()}
    return result | {"measured": done.stdout.strip()}


def report(result: dict[str, Any]) -> list[str]:
    """Returns the lines of a result: the planted fault, and below it what came out."""
    lines = [f"{result['name']:{_NAME}} {result['cause']}: {result['planted']}"]
    if "problem" in result:
        lines.append(f"PROBLEM after {result['seconds']} s: {result['problem'].splitlines()[-1]}")
    if "measured" in result:
        lines.append(f"measured in {result['seconds']} s: {result['measured']}")
    if "examination" in result:
        found = causes(result["examination"])
        said = f"; causes: {', '.join(found) or 'none'}" if found is not None else ""
        lines.append(f"exit status {result['exit']} in {result['seconds']} s{said}")
        lines += [
            f"{each['severity']:5} {each['cause']:24} {each['seen']} ({each['confidence']})"
            for each in findings(result)
        ]
    return [lines[0], *(f"{'':{_NAME}} {line}" for line in lines[1:])]


def findings(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the probe's findings, failures first."""
    return list(result.get("examination", {}).get("findings", ()))


def causes(data: Any) -> list[str] | None:
    """Returns the identifiers in the keys ``cause`` and ``causes``; None if there is no such key."""
    found: list[str] | None = None
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in parts:
        if key in ("cause", "causes"):
            values = value if isinstance(value, list) else [value]
            found = (found or []) + [each for each in values if isinstance(each, str)]
        if (inside := causes(value)) is not None:
            found = (found or []) + inside
    return None if found is None else list(dict.fromkeys(found))


def summary(results: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the counts of some results."""
    counts: Counter[str] = Counter()
    for result in results:
        kind = "good" if result["cause"] == "none" else "bad"
        counts[f"{kind} paths"] += 1
        counts["problems"] += "problem" in result
        counts["faults measured"] += "measured" in result
        if "examination" in result:
            counts[f"{kind} paths with a finding"] += bool(findings(result))
            named = causes(result["examination"])
            counts["causes named as planted"] += kind == "bad" and result["cause"] in (named or ())
    return ["", ", ".join(f"{count} {what}" for what, count in counts.items() if count)]


def _planted(path: Path) -> dict[str, Any]:
    return {
        "name": path.name,
        "transport": path.transport,
        "planted": path.planted,
        "cause": path.cause,
    }


def _since(start: float) -> float:
    return round(time.monotonic() - start, 1)
