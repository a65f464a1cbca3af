"""All networks, by number, and what becomes of each."""

from __future__ import annotations

import networks_dense
import networks_images
import networks_sequences

CASES = tuple(
    sorted((*networks_dense.CASES, *networks_images.CASES, *networks_sequences.CASES), key=lambda case: case.number)
)
