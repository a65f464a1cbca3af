"""A study's processes do not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

STUDY = """
import time
from spikeport.benchmarks.studies.processes import pool
with pool(2) as workers:
    workers.submit(int).result()
    for _ in range(2):
        workers.submit(time.sleep, 600)
    print("busy", flush=True)
"""


@pytest.mark.slow
def test_workers_end_with_a_study_that_is_killed() -> None:
    study = subprocess.Popen([sys.executable, "-c", STUDY], stdout=subprocess.PIPE, start_new_session=True)
    assert study.stdout is not None
    try:
        assert study.stdout.readline() == b"busy\n"
        study.kill()
        # The workers have inherited this pipe: it ends when no process is left that holds it.
        study.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(study.pid, signal.SIGKILL)
        study.stdout.close()
        study.wait()
