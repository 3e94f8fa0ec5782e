"""The zoo's paths have the faults that its table says, as its plain client measures them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests import ROOT
from tests.support import programs
from tests.zoo.paths import PATHS

# Seconds of a run: each path starts three processes.
PATIENCE = 120.0

# Paths that are measured in a second or two: one of each kind.
BRIEF = ("byte-flipped", "good-unix", "refused", "tls-expired", "tls-no-resumption", "udp-other-port")


def zoo(*arguments: str, patience: float = PATIENCE) -> tuple[int, list[dict[str, Any]]]:
    """Runs the zoo; returns its exit status and its results."""
    done = programs.run(sys.executable, "-m", "tests.zoo", *arguments, cwd=ROOT, text=True, timeout=patience)
    return done.returncode, json.loads(done.stdout)


def hasNamespaces() -> bool:
    """Says whether this user may make network namespaces with TUN devices."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    try:
        made = subprocess.run(["unshare", *user, "--net", "true"], capture_output=True)
    except FileNotFoundError:
        return False
    return made.returncode == 0 and Path("/dev/net/tun").exists()


class VerifyTests(SynchronousTestCase):
    def test_brief(self) -> None:
        """Faults of bytes, admission, TLS and datagrams are there when they are measured."""
        status, results = zoo("verify", "--json", *BRIEF)
        self.assertEqual([each.get("problem") for each in results], [None] * len(BRIEF))
        self.assertEqual(status, 0)
        self.assertEqual({each["name"] for each in results}, set(BRIEF))

    def test_packets(self) -> None:
        """Faults of packets are there, between two kernels' TCP."""
        status, results = zoo("verify", "--json", "rst-injected", "good-packets")
        self.assertEqual([each.get("problem") for each in results], [None] * 2)
        self.assertEqual(status, 0)

    if not hasNamespaces():
        test_packets.skip = "this user may not make network namespaces"  # type: ignore[attr-defined]

    def test_all(self) -> None:
        """Every fault is there; one that depends on the time may need a second try on a busy machine."""
        _, results = zoo("verify", "--json", "--jobs", "3", patience=10 * PATIENCE)
        self.assertEqual(len(results), len(PATHS))
        failed = [each["name"] for each in results if "problem" in each]
        if failed:
            _, results = zoo("verify", "--json", "--jobs", "1", *failed, patience=10 * PATIENCE)
            self.assertEqual([each for each in results if "problem" in each], [])

    if "ECHO_APP_TEST_ZOO" not in os.environ:
        test_all.skip = "it measures for minutes: set ECHO_APP_TEST_ZOO"  # type: ignore[attr-defined]


class RunTests(SynchronousTestCase):
    def test_probe(self) -> None:
        """The probe examines a path with the options that are given, and its data stand beside the fault."""
        status, (result,) = zoo("run", "--json", "bytes-lost", "--", "--quick", "--only", "identity")
        self.assertEqual((status, result["exit"], result["cause"]), (0, 1, "bytes-lost"))
        self.assertIn("identity", result["examination"]["checks"])
        self.assertEqual([each["cause"] for each in result["examination"]["findings"]], ["bytes-lost"])
