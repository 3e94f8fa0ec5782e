"""Shows side by side what relays do at half-close, reset and back-pressure.

``python -m benchmarks.relays`` runs it from a checkout. The first column is a connection without a relay.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from rich.console import Console

from benchmarks.behaviours import BEHAVIOURS, Address, Entrance, Relay, noRelay
from benchmarks.builds import Missing
from benchmarks.loads import Usage
from benchmarks.peers import CANDIDATES, Peer, makePeer
from benchmarks.report import Lines, table
from benchmarks.rows import FORWARD
from echo_app.testing import EchoProcessError

RELAYS = [name for name, candidate in CANDIDATES.items() if FORWARD in candidate.options]


@contextmanager
def started(peer: Peer, upstream: Address) -> Iterator[Entrance]:
    """Starts a relay of the benchmark."""
    server = peer.process(FORWARD, upstream=upstream)
    try:
        server.start()
        yield Entrance(server.address(), lambda: Usage.ofTree(server.pid))
    finally:
        server.kill()


def lines(relays: dict[str, Relay]) -> Lines:
    """Returns a heading, and a line for each behaviour with a column for each relay."""
    made = [["", *relays]]
    for title, behaviour in BEHAVIOURS.items():
        made.append([title, *(_cell(behaviour, relay) for relay in relays.values())])
    return made


def _cell(behaviour: Callable[[Relay], str], relay: Relay) -> str:
    try:
        return behaviour(relay)
    except (OSError, EchoProcessError) as error:
        return f"error: {str(error).strip().splitlines()[-1]}"


def main(words: Sequence[str] | None = None) -> None:
    """Runs the command.

    :param words: the command line; None is that of the process.
    """
    parser = argparse.ArgumentParser(prog="relays", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--peer", action="append", choices=RELAYS, metavar="PEER", help=f"this relay; repeatable: {RELAYS}")
    relays: dict[str, Relay] = {"no relay": noRelay}
    missing = []
    for name in parser.parse_args(words).peer or RELAYS:
        try:
            relays[name] = partial(started, makePeer(name))
        except Missing as error:
            missing.append(f"{CANDIDATES[name].title}: {error}.")
    console = Console(highlight=False)
    console.print(table(lines(relays)))
    for line in missing:
        console.print(line)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("relays: interrupted")
