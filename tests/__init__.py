"""The tests of echo_app: of its parts in ``unit``, of running services and programs in ``functional``."""

from pathlib import Path

# The folder of the project, and that of what tests share and start.
ROOT = Path(__file__).parents[1]
SUPPORT = ROOT / "tests" / "support"
