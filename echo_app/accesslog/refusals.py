"""Sums of refused connections in the access log, so that a flood of peers does not fill the disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from echo_app.connections.record import ConnectionRecord, Ending

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from echo_app.accesslog.recorder import Recorder, Values

# Refused connections of one ending with an entry of their own in a minute: some 40 KB.
MAX_ENTRIES = 100

# The endings of connections that were never served. The detail of a header or a preamble may have bytes of
# the peer, so that a sum has none.
_FEW_DETAILS = frozenset({Ending.LIMIT, Ending.DENIED, Ending.AUTH})
_REFUSED = _FEW_DETAILS | {Ending.HEADER, Ending.PREAMBLE}

# Seconds of a sum.
PERIOD = 60.0


@dataclass(slots=True)
class _Sum:
    first: ConnectionRecord
    listener: Values
    count: int = 0


class Refusals:
    """Sums up the refused connections of a minute that have no entry of their own, by listener and reason.

    :param recorder: writes the entries.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._entries: Counter[Ending] = Counter()
        self._sums: dict[tuple[object, ...], _Sum] = {}
        self._call: IDelayedCall | None = None

    def take(self, record: ConnectionRecord, listener: Values) -> bool:
        """Adds a connection to a sum, if it was refused and is one too many; returns whether it did."""
        ending = record.ended
        if ending is None or ending not in _REFUSED:
            return False
        if self._call is None:
            self._call = self._recorder.clock.callLater(PERIOD, self.flush)
        self._entries[ending] += 1
        if self._entries[ending] <= MAX_ENTRIES:
            return False
        if ending not in _FEW_DETAILS:
            record.detail = ""
        key = (*listener.values(), ending, record.detail)
        self._sums.setdefault(key, _Sum(record, listener)).count += 1
        return True

    def flush(self) -> None:
        """Writes the entries of the sums; a new minute begins with the next refused connection."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        self._entries.clear()
        sums, self._sums = self._sums, {}
        for each in sums.values():
            self._recorder.write(each.first, {**each.listener, "refused": each.count})
