"""Command of the process under test: ``twistd`` until its end, or until its starter is gone."""

from __future__ import annotations

import os
import threading


def main() -> None:
    """Runs ``twistd`` with the arguments of this process."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
