"""Says what netx and Lava's Dense store of weights: `python weights_worker.py FOLDER`.

FOLDER holds `weights.npz`; for each array `stored.npz` gets what is multiplied with the spikes, the shift of the sum
undone as far as it can be, or nothing where netx fails or asks for more bits than there are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from netx_worker import import_lava, stand_in

if __name__ == "__main__":
    if sys.version_info >= (3, 11):  # noqa: UP036 - the worker also runs on 3.10, where Lava needs no help
        import_lava()
    stand_in()
    from lava.lib.dl.netx.utils import optimize_weight_bits
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    folder = Path(sys.argv[1])
    stored = {}
    with np.load(folder / "weights.npz") as given:
        for name, weight in given.items():
            try:
                moved, bits, exponent, _ = optimize_weight_bits(weight)
            except (OverflowError, ValueError):
                continue
            if bits > 8:
                continue  # the simulation takes them, no chip has them
            mode = determine_sign_mode(moved)
            kept = truncate_weights(clip_weights(moved, mode, num_bits=8), mode, bits)
            stored[name] = kept / 2.0**-exponent
    np.savez(folder / "stored.npz", **stored)
