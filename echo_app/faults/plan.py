"""Fault plan: the faults of options and fault file, and the seed of their random numbers.

A fault file has one spec a line. Empty lines, and the text after a ``#``, are ignored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from secrets import randbits

from twisted.logger import Logger

from echo_app.faults.fault import BadSpec, Fault
from echo_app.faults.flowlayer import CAP
from echo_app.faults.spec import parseFault
from echo_app.filewatch import Stamps

log = Logger()

# Faults of one service, and of one preamble: each fault costs time for each connection.
MAX_FAULTS = 32

# Characters of a fault file: room for a comment beside each fault.
MAX_FILE = 64 * 1024

# Bits of a seed that the service draws: enough to differ each time, few enough to be typed.
_SEED_BITS = 32


class FaultPlan:
    """The faults of a service and their seed; the faults may change while the service runs.

    :param faults: the faults that a reload keeps.
    :param seed: the seed of their random numbers; None draws one.
    :param path: the path of a fault file, read now, and again by ``reload()``; None is no file.
    :param cap: bytes that faults hold for one connection before reading from its peer stops.
    :raise BadSpec: when the file can't be read, has a line that is no fault, or there are too many faults.
    :ivar faults: the faults that apply now.
    :ivar since: the number of the last connection before these faults; ``connections`` counts from it.
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
        # A daemon changes its directory before it reads the file again.
        self._path = None if path is None else _absolute(path)
        self._stamps = Stamps(() if self._path is None else (self._path,))
        self._lasting = tuple(faults)
        self.faults = self._read()
        self.since = 0

    @property
    def hasFile(self) -> bool:
        """True if there is a fault file."""
        return self._path is not None

    def watch(self, reload: Callable[[], object]) -> Callable[[], None]:
        """Returns a function to call every few seconds, which calls `reload` after each change."""
        return self._stamps.watch(reload)

    def reload(self, check: Callable[[Iterable[Fault]], object] = lambda _faults: None) -> bool:
        """Reads the fault file again; returns whether that succeeded. An unusable file is logged.

        :param check: raises ``BadSpec`` when faults can't be used.
        """
        if self._path is None:
            return False
        try:
            faults = self._read()
            check(faults)
            self.faults = faults
            self.since = 0
        except BadSpec as error:
            log.error("fault file not read again: {reason}; the faults stay as they were", reason=str(error))
            return False
        return True

    def set(self, faults: Iterable[Fault], since: int) -> None:
        """Replaces all faults, until the fault file is read again.

        :param since: the number of the last connection before these faults.
        :raise BadSpec: when there are too many faults.
        """
        self.faults = checked(tuple(faults))
        self.since = since

    def announce(self) -> None:
        """Logs the faults that apply now."""
        faults = " ".join(map(str, self.faults)) or "none"
        log.info("faults: {faults} (seed {seed})", faults=faults, seed=self.seed)
        for fault in self.faults:
            if fault.warning:
                # Not as "warning", which trial takes for one of the module warnings, and fails on.
                log.warn("fault {fault}: {caution}", fault=str(fault), caution=fault.warning)

    def _read(self) -> tuple[Fault, ...]:
        self._stamps.note()
        return checked(self._lasting + (() if self._path is None else _readFaults(self._path)))


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        raise BadSpec("the current directory was removed") from None


def checked(faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """Returns faults that are not too many.

    :raise BadSpec: when they are.
    """
    if len(faults) > MAX_FAULTS:
        raise BadSpec(f"{len(faults)} faults, where {MAX_FAULTS} is the most")
    return faults


def parseFaultFile(text: str) -> tuple[Fault, ...]:
    """Returns the faults of a fault file.

    :raise BadSpec: when a line is no fault; with the line's number, and the place in the stripped line.
    """
    if len(text) > MAX_FILE:
        raise BadSpec(f"more than {MAX_FILE} characters")
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
            # To open a pipe, for example, would block.
            raise BadSpec("not a file")
        # A line with bytes that are not UTF-8 is no fault, and an error shows them escaped.
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            return parseFaultFile(file.read(MAX_FILE + 1))
    except OSError as error:
        raise BadSpec(error.strerror or str(error)) from None
