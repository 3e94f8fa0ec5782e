"""A fake worker of a load without a network: it speaks the protocol, and behaves by its argument.

Run it as a process: ``python loadworker.py MODE [HISTOGRAM]``. The encoded histogram has the latencies of
each second.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import Any


def tell(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def heard(seconds: float) -> str | None:
    """Returns a line that came within some seconds, empty at the end of input; None if none came."""
    ready, _, _ = select.select([sys.stdin], [], [], max(0.0, seconds))
    return sys.stdin.readline().strip() if ready else None


def work(settings: dict[str, Any], histogram: str) -> None:
    """Reports each second when it is over, with as many messages as the rate."""
    tell(ready={"connects": histogram, "errors": {}})
    start = float(sys.stdin.readline().split()[1]) + settings["warmup"]
    count = round(settings["rate"] or 10)
    for second in range(-int(-settings["duration"] // 1)):
        isOver = heard(start + min(second + 1, settings["duration"]) - time.monotonic()) is not None
        tell(
            **{"second": second, "due": count, "sent": count, "answered": count, "bytes": 64 * count},
            **{"latency": histogram, "errors": {}, "differences": []},
        )
        if isOver:
            break
    tell(done=True)


def main(mode: str, histogram: str = "") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    task = json.loads(sys.stdin.readline())
    isFirst = task["index"] == 0
    if mode == "refused":
        tell(failed="refused")
    elif mode == "killed" and isFirst:
        os.kill(os.getpid(), signal.SIGKILL)
    elif mode == "raises":
        raise ZeroDivisionError
    elif mode == "endless":
        while True:
            sys.stdout.write("x" * 65536)
    else:
        work(task["settings"], histogram)


if __name__ == "__main__":
    main(*sys.argv[1:])
