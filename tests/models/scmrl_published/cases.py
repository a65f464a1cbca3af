"""The cases that the authors' code was run on; inputs and weights are drawn from what they are called.

A *role* is what a layer is for, `audio.spatial.q`; the authors' code and ours call it differently. Needs numpy alone:
`record.py` reads it beside the authors' code.

Shape suffixes: T time steps, B samples, C channels, H and W rows and columns.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

COMMIT = "3be3df7"
"""Of github.com/Brain-Cog-Lab/S-CMRL, whose code gave `numbers.npz`."""
NUMBERS = Path(__file__).with_name("numbers.npz")
T, B, CLASSES = 4, 4, 3
CHANNELS, HEADS, MLP_RATIO, SIZE = 16, 2, 4, 32
ALPHA, TEMPERATURE, SMOOTHING = 1.5, 0.07, 0.1
PICTURES = {"audio": (1, SIZE, SIZE), "visual": (3, SIZE, SIZE)}
DRAW = 12
"""Of many, one whose membranes stay further from the threshold than rounding moves them, where they do not meet it."""
LABELS = (0, 2, 1, 2)
SIDES = ("audio", "visual")
BRANCHES = ("spatial", "temporal")
EMBEDDING = ("embed", "position")


@dataclass(frozen=True)
class Case:
    """A network.

    Attributes:
        theirs: keyword arguments of the authors' model.
        ours: parameters of our `paper` form.
        mended: faults that the authors' code was run without.
    """

    theirs: dict[str, Any]
    ours: dict[str, Any]
    mended: tuple[str, ...] = ()


_FULL: dict[str, Any] = {"cross_attn": True, "attn_method": "SpatialTemporal", "contrastive": True}
_FAULTS = ("attention-threshold", "scrambled-heads", "detached-membrane")


def _without(*mended: str) -> Case:
    return Case(_FULL, {"faults": tuple(f for f in _FAULTS if f not in mended)}, mended)


CASES = {
    "published": Case(_FULL, {}),
    "without attention-threshold": _without("attention-threshold"),
    "without scrambled-heads": _without("scrambled-heads"),
    "without detached-membrane": _without("detached-membrane"),
    "without any fault": _without(*_FAULTS),
    "spatial": Case(_FULL | {"attn_method": "Spatial"}, {"branches": ("spatial",)}),
    "temporal": Case(_FULL | {"attn_method": "Temporal"}, {"branches": ("temporal",)}),
    "not aligned": Case(_FULL | {"contrastive": False}, {"align": False}),
    "concatenated": Case(_FULL | {"interaction": "Concat"}, {"fuse": "concat"}),
    "no mechanism": Case({}, {"method": "none"}),
    "cmci": Case({"cross_attn": True, "attn_method": "CMCI"}, {"method": "cmci"}),
    "audio alone": Case({}, {"modality": "audio", "self_attention": True}),
}


def inputs() -> dict[str, Array]:
    """Return samples [T, B, *shape], the same in all steps: the authors' direct coding."""
    drawn = {name: _of(f"input {name}").standard_normal((B, *shape)) for name, shape in PICTURES.items()}
    return {name: np.repeat(x_BCHW[None], T, 0).astype(np.float32) for name, x_BCHW in drawn.items()}


def draw(role: str, part: str, shape: tuple[int, ...]) -> Array:
    """Return a layer's `weight`, `bias`, or batch norm's parameters and statistics (`norm.weight`, ...).

    Drawn so that all neurons fire, those behind the attention too; kernels of 1 have one shape whatever their rank.
    """
    random = _of(f"{role} {part}")
    count = shape[0]
    if part == "weight":
        fan_in = int(np.prod(shape[1:]))
        flat = random.standard_normal((count, fan_in)) / np.sqrt(fan_in)
        drawn = abs(1.5 * flat) if role.endswith(".align") else flat
    elif part in ("norm.weight", "norm.running_var"):
        drawn = 1 + random.random(count)
    elif part == "norm.bias":
        drawn = (2 if role.split(".")[1] in BRANCHES else 1) * (0.5 + random.random(count))
    else:
        drawn = 0.25 * random.standard_normal(count)
    return drawn.reshape(shape).astype(np.float32)


def direction(role: str, part: str, size: int) -> NDArray[np.float64]:
    """Return +-1 by which a gradient is summed up: with its norm all but any change shows."""
    return _of(f"direction {role} {part}").integers(0, 2, size) * 2.0 - 1


def in_order(roles: Any) -> list[str]:
    """Return the roles in the order in which `numbers.npz` holds them."""
    return sorted(roles)


def embeds(role: str) -> bool:
    """Whether a role is of the patch embedding, which all cases share."""
    return role.split(".")[1] in EMBEDDING


def _of(words: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(f"{DRAW} {words}".encode())))
