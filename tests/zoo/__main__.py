"""The zoo's command line."""

from __future__ import annotations

import sys

from tests.zoo.commands import main

if __name__ == "__main__":
    sys.exit(main())
