"""The fault ``stall``."""

from __future__ import annotations

from echo_app.faults.fault import ShapingFault, Stage
from echo_app.faults.shaper import Shaper


class Stall(ShapingFault):
    """Passes nothing."""

    name = "stall"
    stage = Stage.STALL
    directions = ("in", "out")
    # Nothing passes while its window is on.
    shaper = Shaper
