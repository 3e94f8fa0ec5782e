"""Results of several rates in one file: a section for each step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from echo_app.probe.results.results import Results

# The format of such a file, and its version.
FORMAT = "echo-probe load steps 1"


def stepsToJson(steps: Sequence[Results], more: Mapping[str, object] | None = None) -> str:
    """Returns the results of steps as JSON: each as :meth:`Results.toJson` has it.

    :param more: further entries, by name.
    """
    data = {"format": FORMAT, **(more or {}), "steps": [json.loads(each.toJson()) for each in steps]}
    return json.dumps(data, indent=1)


def isOfSteps(text: str) -> bool:
    """Says whether a text is that of :func:`stepsToJson`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.get("format") == FORMAT
