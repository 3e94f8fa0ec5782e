"""Worker process of a load: ``python -m echo_app.probe.load.worker``.

:mod:`echo_app.probe.load.workerprotocol` has its protocol.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Runs a worker to its end."""
    # Before the imports: they take a third of a second, in which Ctrl-C would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from echo_app.probe.load.workerprotocol import runWorker

    runWorker()


if __name__ == "__main__":
    main()
