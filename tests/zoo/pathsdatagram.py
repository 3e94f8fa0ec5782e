from __future__ import annotations

from tests.zoo.path import Path

DATAGRAMS: list[Path] = []
