"""All paths of the zoo, by name."""

from __future__ import annotations

from tests.zoo.path import Path
from tests.zoo.pathsdatagram import DATAGRAMS
from tests.zoo.pathspacket import PACKETS
from tests.zoo.pathsstream import STREAMS
from tests.zoo.pathstls import TLS

PATHS: dict[str, Path] = {path.name: path for path in (*STREAMS, *TLS, *DATAGRAMS, *PACKETS)}
