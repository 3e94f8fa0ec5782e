"""Description of this machine, for a page."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def _found(path: str, pattern: str) -> str:
    try:
        match = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        return ""
    return match.group(1).strip() if match else ""


def describeMachine() -> dict[str, str]:
    """Returns the facts of this machine that figures depend on, by name; none that identifies its owner."""
    gibibytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    virtual = "virtual, " if re.search(r"\bhypervisor\b", _found("/proc/cpuinfo", r"^flags\s*:(.*)")) else ""
    return {
        "Processor": _found("/proc/cpuinfo", r"^model name\s*:(.*)") or platform.machine(),
        "Cores": f"{virtual}{len(os.sched_getaffinity(0))} of {os.cpu_count()} usable",
        "Memory": f"{gibibytes:.0f} GiB",
        "System": _found("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)') or platform.system(),
        "Kernel": f"Linux {platform.release()}, {platform.machine()}",
    }
