"""The tests of echo_app: ``unit`` tests its parts, ``functional`` running services and programs."""

from pathlib import Path

# The folder of the project, and the folder of the tests' support.
ROOT = Path(__file__).parents[1]
SUPPORT = ROOT / "tests" / "support"
