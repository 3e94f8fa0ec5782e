"""The fault ``stall``."""

from __future__ import annotations

from echo_app.faults.fault import ShapingFault, Stage
from echo_app.faults.shaper import Shaper


class Stall(ShapingFault):
    """Passes nothing."""

    name = "stall"
    stage = Stage.STALL
    directions = ("in", "out")
    # A flow asks only the window of a stall.
    shaper = Shaper
