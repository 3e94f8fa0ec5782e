"""Worker process of a load: ``python -m echo_app.probe.load.worker``.

:mod:`echo_app.probe.load.workerprotocol` says how it is talked to.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Runs until it is done."""
    # First: what is imported takes a third of a second, in which Ctrl-C would be answered by a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from echo_app.probe.load.workerprotocol import runWorker

    runWorker()


if __name__ == "__main__":
    main()
