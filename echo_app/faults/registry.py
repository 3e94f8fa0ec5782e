"""The registry of faults: their classes by name, in the order of errors and documentation."""

from __future__ import annotations

from echo_app.faults.connect import Connect
from echo_app.faults.endings import Blackhole, Close, HalfClose, Reset
from echo_app.faults.fault import Fault
from echo_app.faults.messageonly import Duplicate, Loss, Reorder, Truncate, Unsolicited
from echo_app.faults.refuse import Refuse
from echo_app.faults.shaping import Bandwidth, Chop, Corrupt, Latency, SlowClose, Stall

_CLASSES: tuple[type[Fault], ...] = (
    Latency,
    Bandwidth,
    Chop,
    Corrupt,
    Stall,
    SlowClose,
    Close,
    HalfClose,
    Reset,
    Refuse,
    Connect,
    Blackhole,
    Loss,
    Duplicate,
    Reorder,
    Truncate,
    Unsolicited,
)

FAULTS = {each.name: each for each in _CLASSES}
