"""Writes the table of the judge's rules, ``docs/findings.rst``, from them::

python -m tests.unit.probe.judge.reference > docs/findings.rst
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from textwrap import wrap

from echo_app.probe.judge.finding import Rule
from echo_app.probe.judge.judge import RULES

_HEAD = """\
.. Made from RULES in echo_app/probe/judge by python -m tests.unit.probe.judge.reference; a test compares.

Findings of the probe
=====================

The causes that ``echo-probe check`` can name, in the order in which they are judged. A connection that one
cause explains is no evidence for a later one. The first two columns are ``cause`` and ``severity`` in
``--json``. A finding may have another title or severity than its rule, such as that of a half-close over TLS.
`probe.rst <probe.rst>`_ describes the checks, which observe."""

# Columns of a cause, its severity, its meaning and evidence, and its errors: 117 with the gaps.
_WIDTHS = (29, 4, 50, 31)


def reference() -> str:
    """Returns the page."""
    return "\n".join([_HEAD, "", *_table(RULES)]) + "\n"


def _table(rules: Sequence[Rule]) -> Iterator[str]:
    line = " ".join("=" * width for width in _WIDTHS)
    yield from (line, _row("Cause", "Kind", "Meaning, and what is looked at", "When it errs"), line)
    for rule in rules:
        title = f"{rule.title[:1].upper()}{rule.title[1:]}."
        seen = [*wrap(f"{title} {rule.meaning}", _WIDTHS[2]), "", *wrap(rule.observation, _WIDTHS[2])]
        head = [f"``{rule.cause}``"], [rule.severity.value]
        for cells in zip_longest(*head, seen, wrap(rule.errs, _WIDTHS[3]), fillvalue=""):
            yield _row(*cells)
        yield ""
    yield line


def _row(*cells: str) -> str:
    return " ".join(f"{cell:{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


if __name__ == "__main__":
    print(reference(), end="")
