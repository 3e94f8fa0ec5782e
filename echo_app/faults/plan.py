"""Fault plan: the faults that were given, those of the fault file, and the seed of random numbers.

A fault file has one spec a line. Empty lines, and the text after a ``#``, are comments.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from secrets import randbits

from twisted.logger import Logger

from echo_app.faults.fault import BadSpec, Fault
from echo_app.faults.flowlayer import CAP
from echo_app.faults.spec import parseFault

log = Logger()

# Faults of one service, and of one preamble: each one costs something for each connection.
MOST = 32

# Characters of a fault file: some comment beside each fault.
LONGEST_FILE = 64 * 1024

# Bits of a seed that the service draws: enough to be another one each time, few enough to be typed again.
_SEED_BITS = 32


class FaultPlan:
    """Holds the faults of a service and their seed; they may change while the service runs.

    :param faults: the faults that stay.
    :param seed: the seed of their random numbers; None draws one.
    :param path: a fault file, read now, and again by ``reload()``; None is none.
    :param cap: bytes that are held back for one connection before reading from its peer stops.
    :raise BadSpec: when the file can't be read, has a line that is no fault, or there are too many.
    :ivar faults: those that apply now.
    :ivar since: the number of the last connection before them: theirs count from there.
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        seed: int | None = None,
        path: str | None = None,
        cap: int = CAP,
    ) -> None:
        self.cap = cap
        self.seed = randbits(_SEED_BITS) if seed is None else seed
        # A daemon is in another directory when it reads it again.
        self._path = None if path is None else os.path.abspath(path)
        self._lasting = tuple(faults)
        self.faults = self._read()
        self.since = 0

    def reload(self) -> bool:
        """Reads the fault file again, and says whether it did: a file that can't be used is logged."""
        if self._path is None:
            return False
        try:
            self.faults = self._read()
            self.since = 0
        except BadSpec as error:
            log.error("fault file not read again: {reason}; the faults stay as they were", reason=str(error))
            return False
        return True

    def set(self, faults: Iterable[Fault], since: int) -> None:
        """Replaces all of them, until the fault file is read again.

        :param since: the number of the last connection before them.
        :raise BadSpec: when there are too many.
        """
        self.faults = _checked(tuple(faults))
        self.since = since

    def announce(self) -> None:
        """Logs the faults that apply now."""
        faults = " ".join(map(str, self.faults)) or "none"
        log.info("faults: {faults} (seed {seed})", faults=faults, seed=self.seed)

    def _read(self) -> tuple[Fault, ...]:
        return _checked(self._lasting + (() if self._path is None else _readFaults(self._path)))


def _checked(faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    if len(faults) > MOST:
        raise BadSpec(f"{len(faults)} faults, where {MOST} is the most")
    return faults


def parseFaults(text: str) -> tuple[Fault, ...]:
    """Returns the faults of a fault file.

    :raise BadSpec: when a line is none; it says which, and where in it, without the blanks before.
    """
    if len(text) > LONGEST_FILE:
        raise BadSpec(f"more than {LONGEST_FILE} characters")
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        spec = line.partition("#")[0].strip()
        try:
            if spec:
                faults.append(parseFault(spec))
        except BadSpec as error:
            raise BadSpec(f"line {number}: {error}") from None
    return tuple(faults)


def _readFaults(path: str) -> tuple[Fault, ...]:
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            # A pipe, for one, would be waited for.
            raise BadSpec("not a file")
        # Bytes that are not UTF-8 are no fault either, and are shown escaped.
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            return parseFaults(file.read(LONGEST_FILE + 1))
    except OSError as error:
        raise BadSpec(error.strerror or str(error)) from None
