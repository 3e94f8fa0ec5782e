"""From what is known of a connection to a line of the access log, which is one JSON object."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

from echo_app.accesslog.file import AccessLog
from echo_app.connections.record import ConnectionRecord
from echo_app.text import escaped

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

# What a line may have, in its order; docs/access-log.rst says what each one is, and in which unit.
FIELDS = (
    "number",
    "transport",
    "listener",
    "peer",
    "proxy",
    "user",
    "start",
    "seconds",
    "ended",
    "detail",
    "faults",
    "bytes_in",
    "bytes_out",
    "bytes_unread",
    "bytes_unacknowledged",
    "wire_in",
    "wire_out",
    "datagrams_in",
    "datagrams_out",
    "datagram_faults",
    "tls_version",
    "tls_cipher",
    "tls_alpn",
    "tls_subject",
    "rtt_us",
    "rttvar_us",
    "retransmits",
    "lost",
    "delivery_rate",
    "segments_in",
    "segments_out",
)

# Characters of one text: most of them are a peer's choice.
LONGEST = 256

Values = dict[str, Any]

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Recorder:
    """Makes records of what begins, and lines of what has ended.

    :param accessLog: where lines go.
    :param clock: what time is, in seconds since the epoch.
    :param elapsed: returns seconds on a clock that is never set.
    """

    def __init__(
        self,
        accessLog: AccessLog,
        clock: IReactorTime,
        elapsed: Callable[[], float] = monotonic,
    ) -> None:
        self.clock = clock
        self._accessLog = accessLog
        self._elapsed = elapsed

    def begin(self) -> ConnectionRecord:
        """Returns the record of what begins now."""
        return ConnectionRecord(self.clock.seconds(), self._elapsed())

    def write(self, record: ConnectionRecord, values: Values) -> None:
        """Writes the line of what ends now.

        :param values: what its record does not know, by :data:`FIELDS`; None is left out.
        """
        start = datetime.fromtimestamp(record.start, UTC).isoformat(timespec="milliseconds")
        known = {
            "number": record.number,
            "user": record.user,
            "start": start.replace("+00:00", "Z"),
            "seconds": round(self._elapsed() - record.began, 6),
            "ended": record.ended and record.ended.value,
            "detail": record.detail or None,
            "faults": list(record.faults) or None,
        }
        self._accessLog.write(lineOf({**known, **values}))


def lineOf(values: Values) -> bytes:
    """Returns a line, in which nothing is beyond ASCII's printable characters.

    What can't be printed in a text is escaped twice: by JSON, and before that by ``escaped``, so that a
    terminal is safe from whoever shows what a parser returned, as ``jq -r`` does.
    """
    shown = {name: _shown(value) for name in FIELDS if (value := values.get(name)) is not None}
    return _encode(shown).encode() + b"\n"


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return (value if value.isprintable() else escaped(value))[:LONGEST]
    return [_shown(each) for each in value] if isinstance(value, list) else value
