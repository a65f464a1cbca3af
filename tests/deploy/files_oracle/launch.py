"""Runs FOLDER's `run_lava.py`, as a user of Lava would, also on a Python later than Lava's: `launch.py FOLDER`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy" / "lava" / "worker"))
from main import import_lava

if __name__ == "__main__":
    if sys.version_info >= (3, 11):  # noqa: UP036 - it also runs on 3.10, where Lava needs no help
        import_lava()
    script = str(Path(sys.argv[1]) / "run_lava.py")
    sys.argv = [script]
    runpy.run_path(script, run_name="__main__")
