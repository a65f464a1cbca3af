"""Products of two activations: exact coincidences of non-zero factors.

A product term costs an operation where both factors are non-zero. It is an AC where one of them is exactly 1 or
-1, since nothing is multiplied then, and a MAC where both are graded.

Shape suffixes: B batch of matrices, N rows, K the axis summed over, M columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikeport.benchmarks.counting.torch_counter.accumulators import zeros
from spikeport.benchmarks.counting.torch_counter.apart import Apart


class ProductTally:
    """Totals of the products at one place of the model, on the device, in float64.

    Args:
        device: of the factors.
        apart: keeps the totals by call and by sample too.
    """

    def __init__(self, device: torch.device, apart: Apart | None = None) -> None:
        self.apart = apart
        self.totals = zeros(2, dtype=torch.float64, device=device)
        self.rows = 0
        self.dense = 0

    def start(self, samples: int) -> None:
        """Begin a batch."""
        if self.apart is not None:
            self.apart.start(samples)

    def add(self, nonzero_B: Tensor, graded_B: Tensor, rows: int, dense: int) -> None:
        """Add the terms of B products: with non-zero factors, and with two graded ones."""
        split_2B = torch.stack([nonzero_B - graded_B, graded_B])
        if self.apart is not None:
            self.apart.add(split_2B, len(nonzero_B))
        self.totals += split_2B.sum(1)
        self.rows += rows
        self.dense += dense

    def read(self) -> tuple[int, int]:
        """Return AC and MAC."""
        ac, mac = self.totals.tolist()
        return int(ac), int(mac)


def coincidences(a_BNK: Tensor, b_BKM: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many terms of each `a @ b` have two non-zero factors, and two graded ones.

    Each non-zero element of column k of `a` meets every non-zero one of row k of `b`.
    """
    pairs = zip(_kinds(a_BNK), _kinds(b_BKM), strict=True)
    nonzero_B, graded_B = ((a.sum(-2) * b.sum(-1)).sum(-1) for a, b in pairs)
    return nonzero_B, graded_B


def _kinds(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return, in float64, 1 where `z` is not zero, and where it is graded."""
    nonzero = z.bool()
    return nonzero.double(), (nonzero & (z.abs() - 1).bool()).double()


def attention(q: Tensor, k: Tensor, v: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same for `softmax(q k^T) v` over the pairs in `keep` [B, ..., N, M], added up for each of B.

    The softmax is positive, so each kept pair meets every non-zero element of `v`; a weight that underflows to 0
    inside the fused operation cannot be seen and counts as well.
    """
    keep = keep.double()
    (q_any, q_graded), (k_any, k_graded), (v_any, v_graded) = _kinds(q), _kinds(k), _kinds(v)
    met = keep.sum(-2).unsqueeze(-1)
    nonzero = (q_any @ k_any.mT * keep).sum((-2, -1)) + (met * v_any).sum((-2, -1))
    graded = (q_graded @ k_graded.mT * keep).sum((-2, -1)) + (met * v_graded).sum((-2, -1))
    size = len(nonzero) if nonzero.ndim else 1
    return nonzero.reshape(size, -1).sum(1), graded.reshape(size, -1).sum(1)
