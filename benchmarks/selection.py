"""Chooses the load, the peers and the rows that can be run on this machine, and notes the others."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence

from benchmarks.builds import Missing
from benchmarks.compiledload import compiledLoad
from benchmarks.loads import Load
from benchmarks.peers import CANDIDATES, Peer, makePeer
from benchmarks.probeload import ProbeLoad
from benchmarks.rows import REFERENCE, ROWS, Row

# Descriptors of the load or of a server, besides those of the connections.
RESERVE = 64

# The most idle connections of the load in Python, which sends on each of them once a second.
PYTHON_IDLE = 2000

# A row with fewer connections than that tells nothing.
FEWEST_CONNECTIONS = 10


def findLoad(missing: list[str]) -> Load:
    """Returns the compiled load, or else the load in Python, with a note of the reason."""
    try:
        return compiledLoad()
    except Missing as error:
        missing.append(f"the load in C: {error}")
        return ProbeLoad()


def findPeers(names: Sequence[str], missing: list[str], say: Callable[[str], None]) -> list[Peer]:
    """Makes the peers that can be run here, and notes the others."""
    peers = []
    for name in names:
        say(f"preparing {name}")
        try:
            peers.append(makePeer(name))
        except Missing as error:
            missing.append(f"{CANDIDATES[name].title}: {error}")
    return peers


def wantedRows(names: Sequence[str], isQuick: bool) -> list[Row]:
    """Returns the rows of these names and their bases; without names, all, or those of ``--quick``."""
    asked = {*names, *(row.base for row in ROWS if row.name in names)}
    return [row for row in ROWS if (row.name in asked if names else row.quick or not isQuick)]


def possibleRows(
    rows: Sequence[Row], peers: Sequence[Peer], load: Load, cores: int, missing: list[str]
) -> list[Row]:
    """Returns the rows that can be run here, some with fewer connections, and notes the others."""
    left = []
    for row in rows:
        most, reason = _mostConnections(row, load)
        problem = _problem(row, peers, load, cores)
        if problem or most < FEWEST_CONNECTIONS:
            missing.append(f"{row.title}: {problem or reason}")
        elif most < row.connections:
            missing.append(f"{row.title}: measured with {most:,}, since {reason}")
            left.append(row.withConnections(most))
        else:
            left.append(row)
    return left


def _problem(row: Row, peers: Sequence[Peer], load: Load, cores: int) -> str:
    """Returns the reason why a row can't be run here; empty if it can."""
    if row.transport == "tls" and load.missing:
        return load.missing
    # The upstream of a relay is in C, too.
    if (row.mode == "rate" or row.each > 1 or row.isForwarded) and load.language != "C":
        return "it needs the load in C"
    if row.mode == "rate" and cores < 2:
        return "it needs two cores"
    if row.mode == "rate" and REFERENCE not in [peer.name for peer in peers]:
        return f"it needs the peer {REFERENCE}"
    return ""


def _mostConnections(row: Row, load: Load) -> tuple[int, str]:
    """Returns how many of a row's connections are possible here, and the reason if these are not all."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most, reason = row.connections, ""
    if row.mode == "idle" and load.language != "C":
        most, reason = min(most, PYTHON_IDLE), "more are too many for the load in Python"
    if most > hard - RESERVE and hard != resource.RLIM_INFINITY:
        most, reason = hard - RESERVE, f"at most {hard:,} descriptors are allowed (ulimit -Hn)"
    return most, reason
