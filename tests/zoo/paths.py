"""All paths of the zoo, by name."""

from __future__ import annotations

from tests.zoo.path import Path
from tests.zoo.pathsbytes import BYTES
from tests.zoo.pathsdatagram import DATAGRAMS
from tests.zoo.pathsgood import GOOD
from tests.zoo.pathslife import ADMISSION, LIVES
from tests.zoo.pathspacket import PACKETS
from tests.zoo.pathstime import TIMES
from tests.zoo.pathstls import TLS
from tests.zoo.planted import PLANTED
from tests.zoo.plantedfifth import FIFTH
from tests.zoo.plantedfourth import FOURTH
from tests.zoo.plantedsecond import SECOND
from tests.zoo.plantedthird import THIRD

PATHS: dict[str, Path] = (
    {path.name: path for path in (*BYTES, *TIMES, *LIVES, *ADMISSION, *GOOD, *TLS, *DATAGRAMS, *PACKETS)}
    | PLANTED
    | SECOND
    | THIRD
    | FOURTH
    | FIFTH
)
