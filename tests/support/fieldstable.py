"""Formats the table of the access log's fields.

``python -m tests.support.fieldstable`` writes the table to the document.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import fields

from echo_app.accesslog.fields import Entry
from tests import ROOT

DOCUMENT = ROOT / "docs" / "access-log.rst"

# The table ends with the third of its rules.
_TABLE = re.compile(r"(?<=^Fields\n------\n)(.*?\n)((?:=+ =+ =+\n.*?){2}=+ =+ =+\n)", re.M | re.S)

# Columns of the table's rows, which are at most 109 wide.
_WIDTHS = (24, 19, 63)


def table() -> str:
    """Returns the table, in reStructuredText, from the declarations of the fields."""
    rule = _row(*("=" * width for width in _WIDTHS))
    rows = [rule, _row("Field", "Unit", "Meaning"), rule]
    for each in fields(Entry):
        first, *rest = textwrap.wrap(each.metadata["meaning"], _WIDTHS[2], break_on_hyphens=False)
        rows += [_row(f"``{each.name}``", each.metadata["unit"], first)]
        rows += [_row("", "", line) for line in rest]
    return "".join([*rows, rule])


def _row(*cells: str) -> str:
    return " ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip() + "\n"


def documented() -> str:
    """Returns the table in the document."""
    found = _TABLE.search(DOCUMENT.read_text())
    assert found is not None, "the document has no table of fields"
    return found[2]


if __name__ == "__main__":
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(text.replace(documented(), table()))
