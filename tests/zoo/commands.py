"""Commands of the zoo, and their exit status: 0, 1 when a path failed, 2 for a wrong command line."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from fnmatch import fnmatch
from typing import Any

from tests.zoo.path import NotAsPlanted, Path, Place
from tests.zoo.paths import PATHS
from tests.zoo.runner import examine, report, summary, verify

GOOD, FINDING, WRONG = 0, 1, 2


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m tests.zoo", description=sys.modules["tests.zoo"].__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    each = "names of paths, or patterns such as 'udp-*'; none are all"
    listing = commands.add_parser("list", help="print the paths, and what is planted")
    listing.add_argument("names", nargs="*", help=each)
    for name, text in (
        ("run", "examine paths with echo-probe check; its options come after --"),
        ("verify", "measure the faults with a plain client"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("names", nargs="*", help=each)
        command.add_argument("--jobs", type=_positive, default=2, help="paths at a time [%(default)s]")
        command.add_argument("--limit", type=_positive, default=300, help="seconds of a path [%(default)s]")
        command.add_argument("--json", action="store_true", help="print all as JSON, at the end")
    serving = commands.add_parser("serve", help="open a path until Ctrl-C")
    serving.add_argument("name")
    serving.add_argument("--json", action="store_true", help="for programs: until the end of the input")
    commands.add_parser("measure", help="for verify: measure the open path that the input describes")
    return made


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r}: not a whole number above 0")
    return int(text)


def chosen(names: Sequence[str]) -> list[Path]:
    """Returns the paths of some names or patterns.

    :raise SystemExit: when one of them matches no path.
    """
    for name in names:
        if not any(fnmatch(each, name) for each in PATHS):
            print(f"zoo: {name!r}: no such path; 'list' prints all", file=sys.stderr)
            raise SystemExit(WRONG)
    return [path for path in PATHS.values() if not names or any(fnmatch(path.name, each) for each in names)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    cut = words.index("--") if "--" in words else len(words)
    options = parser().parse_args(words[:cut])
    if options.command == "measure":
        return _measure()
    if options.command == "serve":
        return _serve(options.name, options.json)
    if options.command == "list":
        _list(chosen(options.names))
        return GOOD
    return _each(options, words[cut + 1 :])


def _list(paths: Sequence[Path]) -> None:
    for path in paths:
        options = f" ({' '.join(path.options)})" if path.options else ""
        print(f"{path.name:22} {path.transport:8} {path.cause:28} {path.planted}{options}")


def _serve(name: str, isForPrograms: bool) -> int:
    """Opens a path, until the end of the input or Ctrl-C."""
    path, *others = chosen([name])
    if others:
        print(f"zoo: {name!r}: serve opens one path", file=sys.stderr)
        return WRONG
    try:
        with path.open() as place:
            _wait(path, place, isForPrograms)
    except KeyboardInterrupt:
        return GOOD
    except OSError as error:
        # A program, a device or a right is missing.
        print(f"zoo: {name}: {error}", file=sys.stderr)
        return WRONG
    return GOOD


def _wait(path: Path, place: Place, isForPrograms: bool) -> None:
    if isForPrograms:
        print(json.dumps(asdict(place)), flush=True)
        sys.stdin.read()
        return
    print(f"{path.name}: {path.planted}")
    print(" ".join((*place.within, "echo-probe check", place.target, *place.options, *path.options)))
    print("until Ctrl-C", flush=True)
    while True:
        signal.pause()


def _measure() -> int:
    given = json.load(sys.stdin)
    place = Place(given["target"], tuple(given["options"]), tuple(given["within"]))
    try:
        print(PATHS[given["name"]].measure(place))
    except NotAsPlanted as error:
        print(error)
        return FINDING
    return GOOD


def _each(options: argparse.Namespace, ofProbe: Sequence[str]) -> int:
    """Runs or verifies the chosen paths, several at a time."""
    isRun = options.command == "run"

    def work(path: Path) -> dict[str, Any]:
        return examine(path, ofProbe, options.limit) if isRun else verify(path, options.limit)

    results: list[dict[str, Any]] = []
    # Ctrl-C reaches the paths, too; what was found before is still told.
    with suppress(KeyboardInterrupt), ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(work, chosen(options.names)):
            results.append(result)
            if not options.json:
                print("\n".join(report(result)), flush=True)
    print(json.dumps(results, indent=2) if options.json else "\n".join(summary(results)))
    return FINDING if any(result.get("problem") for result in results) else GOOD
