"""Clips and truncates weights with lava-nc's own functions: `python weights_worker.py FOLDER`.

FOLDER holds `weights.npz`: arrays named `NUMBER-BITS-SIGN`, SIGN `auto` where Lava is to see for itself. What its
Dense and Sparse would keep is written to `stored.npz`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy" / "lava" / "worker"))
from main import import_lava

if __name__ == "__main__":
    if sys.version_info >= (3, 11):  # noqa: UP036 - the worker also runs on 3.10, where Lava needs no help
        import_lava()
    from lava.utils.weightutils import SignMode, clip_weights, determine_sign_mode, truncate_weights

    folder = Path(sys.argv[1])
    stored = {}
    with np.load(folder / "weights.npz") as given:
        for name, weight in given.items():
            _, bits, sign = name.split("-")
            mode = determine_sign_mode(weight) if sign == "auto" else SignMode[sign.upper()]
            stored[name] = truncate_weights(clip_weights(weight, mode, num_bits=8), mode, int(bits))
    np.savez(folder / "stored.npz", **stored)
