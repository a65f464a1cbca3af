"""What a command works, which other work on the machine at the time leaves alone."""

from __future__ import annotations

import resource
import subprocess


def processor_s(*command: str, times: int) -> float:
    """Return the seconds of processor time of a command and its children, the best of so many runs."""
    taken = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)
