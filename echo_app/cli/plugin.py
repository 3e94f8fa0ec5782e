"""The module that the plugin names: what comes before the imports, which take half of a start."""

import sys

from echo_app.cli.early import prepare, valueOf
from echo_app.service.readyfile import removeStale

prepare()
# A file that a killed service left behind must not speak for this start, even if it fails at the next step.
removeStale(valueOf("--ready-file", sys.argv))

from echo_app.cli.tap import Options, makeService  # noqa: E402 - see above

# The names that twistd looks for in a plugin's module.
__all__ = ["Options", "makeService"]
