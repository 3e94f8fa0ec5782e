"""The results as a picture: a panel for each row, a bar for each server."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from benchmarks.report import number
from benchmarks.results import Results
from benchmarks.rows import CPU, Row

_COLUMNS = 2
_OURS, _OTHERS = "#c8501e", "#8a97a6"

# The same results give the same SVG file, and its text stays text.
_STYLE: Any = {
    "svg.hashsalt": "echo_app",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10,
}


def draw(results: Results, folder: Path, name: str) -> None:
    """Writes NAME.png and NAME.svg; does nothing when no row has costs."""
    rows = [row for row in results.rows() if CPU in row.figures and not row.peers]
    if not rows:
        return
    lines = ceil(len(rows) / _COLUMNS)
    with mpl.rc_context(_STYLE):
        picture = Picture(figsize=(11, 1.0 + 2.5 * lines), layout="constrained")
        picture.suptitle("CPU of the server for one echo, in µs (less is better)", fontsize=15, weight="bold")
        panels = picture.subplots(lines, _COLUMNS, squeeze=False)
        for index, panel in enumerate(panels.flat):
            if index < len(rows):
                _panel(panel, rows[index], results)
            else:
                panel.set_axis_off()
        picture.supxlabel(_caption(results), fontsize=9, color="#555555")
        picture.savefig(folder / f"{name}.png", dpi=110)
        picture.savefig(folder / f"{name}.svg", metadata={"Date": None})


def _caption(results: Results) -> str:
    machine = ", ".join(results.machine[part] for part in ("Processor", "Kernel"))
    return f"{machine}; {results.date}; server and load pinned to a core each"


def _panel(panel: Axes, row: Row, results: Results) -> None:
    costs = {peer: results.estimate(row.name, peer, CPU) for peer in results.peers}
    shown = {peer: cost.median for peer, cost in costs.items() if cost is not None}
    colours = [_OURS if peer == row.ours else _OTHERS for peer in shown]
    bars = panel.barh(
        [results.peers[peer] for peer in shown], list(shown.values()), color=colours, height=0.7
    )
    panel.bar_label(bars, [number(cost) for cost in shown.values()], padding=3, fontsize=9)
    panel.invert_yaxis()
    panel.margins(x=0.12)
    panel.set_title(row.title, loc="left", fontsize=11)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
    for label in panel.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == results.peers.get(row.ours) else "normal")
