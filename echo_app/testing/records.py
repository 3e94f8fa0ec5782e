"""Records: the entries of the access log, as a test reads them."""

from __future__ import annotations

import json

from echo_app.accesslog.fields import FIELDS, Entry


class Record(Entry):
    """One entry of the access log. A field that does not apply is None; see docs/access-log.rst."""

    __slots__ = ()

    @classmethod
    def fromLine(cls, line: bytes) -> Record:
        """Returns the record of a line, without the fields that :class:`Entry` does not declare.

        :raise ValueError: when the line is not JSON.
        """
        return cls(**{name: value for name, value in json.loads(line).items() if name in FIELDS})

    def __repr__(self) -> str:
        known = ((name, getattr(self, name)) for name in FIELDS)
        return f"Record({', '.join(f'{name}={value!r}' for name, value in known if value is not None)})"


def recordsOf(content: bytes) -> list[Record]:
    """Returns the records of an access log; a last line without its end is not complete, and is left out."""
    return [Record.fromLine(line) for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
