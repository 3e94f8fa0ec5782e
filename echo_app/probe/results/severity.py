"""Severity of a finding."""

from __future__ import annotations

from enum import Enum


class Severity(Enum):
    """How much a finding hurts an application; the text is printed."""

    FAIL = "FAIL"
    WARN = "warn"
