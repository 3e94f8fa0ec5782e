"""Writes the reference of the options, ``docs/options.rst``, from their table::

python -m tests.unit.cli.reference > docs/options.rst
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from textwrap import wrap

from echo_app.cli.setting import Setting
from echo_app.cli.settings import GROUPS

_HEAD = """\
.. Made from echo_app/cli/settings.py by python -m tests.unit.cli.reference; a test compares them.

Options
=======

The options of ``twistd echo`` and ``twist echo``, and of ``python -m echo_app``, which is short for
``twistd -n --pidfile= echo``. A repeatable one may be given more than once, and each use adds a value.
``--help`` shows the same in the terminal, ``--help-auth`` lists the kinds of ``--auth``, and ``--version``
shows the version. `Times, sizes and rates <quantities.rst>`_ have the same forms in all options. Options of
``twistd`` itself, such as ``--reactor``, stand before ``echo``."""

# Columns of an option, its default and its effect: 117 with the gaps.
_WIDTHS = (37, 18, 60)


def reference() -> str:
    """Returns the page."""
    lines = (line for title, group in GROUPS.items() for line in _section(title, group))
    return "\n".join([_HEAD, *lines]) + "\n"


def _section(title: str, group: Sequence[Setting]) -> Iterator[str]:
    rule = " ".join("=" * width for width in _WIDTHS)
    yield from ("", title, "-" * len(title), "", rule, _row(("Option", "Default", "Effect")), rule)
    for each in group:
        short = f"``-{each.short}``, " if each.short else ""
        cells = (f"{short}``{each.option}``", each.shownDefault, _marked(each.description))
        columns = (
            wrap(cell, width, break_on_hyphens=False) for cell, width in zip(cells, _WIDTHS, strict=True)
        )
        yield from map(_row, zip_longest(*columns, fillvalue=""))
    yield rule


def _marked(text: str) -> str:
    """Returns a help text with its options and its quotations as literals."""
    return re.sub(r"--[a-z-]+", r"``\g<0>``", re.sub(r"(?<!\w)'([^']+)'(?!\w)", r"``\1``", text))


def _row(cells: Sequence[str]) -> str:
    return " ".join(f"{cell:{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


if __name__ == "__main__":
    print(reference(), end="")
