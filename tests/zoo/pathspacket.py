from __future__ import annotations

from tests.zoo.path import Path

PACKETS: list[Path] = []
