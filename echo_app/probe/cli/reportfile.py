"""Option ``--report FILE.html`` of the commands that have results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from echo_app.probe.cli.arguments import row, writablePath
from echo_app.probe.report.page import page
from echo_app.probe.results.results import Results

REPORT = row("report", None, None, "File for a page with tables and pictures, in HTML.", writablePath)


def writeReport(path: Path, results: Sequence[Results], names: Sequence[str] = ()) -> None:
    """Writes a page about results.

    :param names: of the results, such as files'.
    :raise OSError: when it can't be written.
    """
    path.write_text(page(results, names), encoding="utf-8")
