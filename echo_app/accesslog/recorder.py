"""Writes entries of the access log. An entry is one line, a JSON object."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from echo_app.accesslog.fields import FIELDS
from echo_app.accesslog.file import AccessLog
from echo_app.accesslog.refusals import Refusals
from echo_app.connections.record import ConnectionRecord, Ending
from echo_app.text import escaped

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

# Characters of one text. A peer chooses most texts, and this limit bounds the entry.
MAX_TEXT = 256

# The ends that a health check chooses; every other end is worth an entry.
_QUIET = (Ending.FIN, Ending.RESET)

# Values of an entry, by the names of :data:`FIELDS`.
Values = dict[str, Any]

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Recorder:
    """Makes the record of each connection that begins, and writes the entry of each that has ended.

    :param accessLog: takes the lines.
    :param clock: makes calls later.
    :param elapsed: returns seconds on a monotonic clock.
    :param calendar: returns seconds since the epoch.
    :param hasEmpty: write the entries of connections without a byte, such as health checks.

    :ivar refusals: sums up refused connections that are too many for an entry each.
    """

    def __init__(
        self,
        accessLog: AccessLog,
        clock: IReactorTime,
        elapsed: Callable[[], float] = monotonic,
        calendar: Callable[[], float] = time,
        hasEmpty: bool = True,
    ) -> None:
        self.clock = clock
        self._accessLog = accessLog
        self._elapsed = elapsed
        self._calendar = calendar
        self._hasEmpty = hasEmpty
        self.refusals = Refusals(self)

    def begin(self) -> ConnectionRecord:
        """Returns the record of a connection, or of a source of datagrams, that begins now."""
        return ConnectionRecord(self._calendar(), self._elapsed())

    def write(self, record: ConnectionRecord, values: Values) -> None:
        """Writes the entry of a connection, or of a source of datagrams, that ends now.

        :param values: the values that the record does not have; None is left out.
        """
        isEmpty = values.get("bytes_in") == values.get("bytes_out") == 0
        if isEmpty and not self._hasEmpty and record.ended in _QUIET:
            return
        start = datetime.fromtimestamp(record.start, UTC).isoformat(timespec="milliseconds")
        entry = {
            "start": start.replace("+00:00", "Z"),
            "seconds": round(self._elapsed() - record.began, 6),
            "ended": record.ended and record.ended.value,
            "detail": record.detail or None,
            "faults": list(record.faults) or None,
            "message_faults": record.messageFaults and dict(record.messageFaults),
            **values,
        }
        self._accessLog.write(lineOf(entry))


def lineOf(values: Values) -> bytes:
    """Returns an entry as a line of printable ASCII characters.

    An unprintable character is escaped twice: first by ``escaped``, then by JSON. A program such as ``jq -r``
    undoes only the second, so its output is still safe on a terminal.
    """
    # Most values are counts. Without a call for each count, a line takes 5.0 µs in place of 5.5.
    shown = {
        name: value if type(value) is int else _shown(value)
        for name in FIELDS
        if (value := values.get(name)) is not None
    }
    return _encode(shown).encode() + b"\n"


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return (value if value.isprintable() else escaped(value))[:MAX_TEXT]
    return [_shown(each) for each in value] if isinstance(value, list) else value
