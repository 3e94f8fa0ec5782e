"""Hypothesis, as the tests use it: without a deadline for an example, which would judge the machine."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, example, given, settings

__all__ = ["Phase", "example", "given", "settings"]

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
