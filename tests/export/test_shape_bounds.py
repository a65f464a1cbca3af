"""Sizes that pass as shapes and would fill the memory when they run are refused before."""

from __future__ import annotations

import nir
import numpy as np
import pytest

from spikeport.errors import UnfaithfulError
from spikeport.export.shapes import output_shape


def conv(kernel: tuple[int, int], padding: tuple[int, int], dilation: int = 1) -> nir.Conv2d:
    weight = np.broadcast_to(np.float32(1), (1, 1, *kernel))
    return nir.Conv2d((8, 8), weight, 1, np.array(padding), dilation, 1, np.zeros(1))


def pool(kernel: int, padding: int) -> nir.SumPool2d:
    two = np.ones(2, int)
    return nir.SumPool2d(kernel_size=kernel * two, stride=kernel * two, padding=padding * two)


@pytest.mark.parametrize(
    ("node", "side", "reason"),
    [
        (pool(20_000, 10_000), 4, r"padding makes \(1, 20004, 20004\) of \(1, 4, 4\)"),
        (conv((1, 5), (0, 8_000_000), 4_000_000), 4, "padding makes"),
        (conv((2_000, 2_000), (1_000, 1_000)), 2_000, "windows hold"),
        (nir.Conv1d(8, np.ones((1, 1, 3)), 1, 10**9, 10**9, 1, np.zeros(1)), None, "padding makes"),
    ],
)
def test_memory_is_bounded(node: nir.NIRNode, side: int | None, reason: str) -> None:
    shape = (1, 8) if side is None else (1, side, side)
    with pytest.raises(UnfaithfulError, match=reason) as refused:
        output_shape("n", node, shape)
    assert refused.value.fix


@pytest.mark.parametrize(
    ("node", "shape", "wanted"),
    [
        (conv((7, 7), (3, 3)), (1, 1, 1), (1, 1, 1)),
        (conv((15, 15), (14, 14)), (1, 4, 4), (1, 18, 18)),
        (nir.Conv2d((224, 224), np.zeros((64, 64, 3, 3)), 1, 1, 1, 1, np.zeros(64)), (64, 224, 224), (64, 224, 224)),
        (pool(1_000, 500), (1, 8, 8), (1, 1, 1)),
    ],
)
def test_what_networks_do_is_not(node: nir.NIRNode, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    assert output_shape("n", node, shape) == wanted
