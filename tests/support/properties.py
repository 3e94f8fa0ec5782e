"""Settings of Hypothesis: no deadline for an example, which would depend on the machine.

CI tries a hundred examples of a property, and a run before a commit half of them.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, example, given, settings

from tests.support.ci import RUNS_ALL

__all__ = ["Phase", "example", "given", "settings"]

settings.register_profile(
    "patient",
    deadline=None,
    max_examples=100 if RUNS_ALL else 50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")
