"""facts/nir.md's bugs of nir itself: ours gets it right or refuses."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from export_nets import DT, chain, exported, graph, leaky, lif, sink, source, spikes_like
from torch import nn

from spikeport.errors import SpikeportError
from spikeport.export.graph import ChipGraph
from spikeport.export.nir_file import read_nir, write_nir

IMAGES = spikes_like((4, 8, 8), steps=50, batch=2)


def conv(kernel: tuple[int, int], groups: int = 1) -> nir.Conv2d:
    weight = np.random.default_rng(0).normal(size=(4, 4 // groups, *kernel)).astype(np.float32)
    return nir.Conv2d((8, 8), weight, 1, 0, 1, groups, np.zeros(4, np.float32))


def test_conv2d_output_type_takes_the_kernels_height_for_both_axes():
    node = conv((1, 3))
    x = torch.zeros(1, 4, 8, 8)
    assert node.output_type["output"].tolist() == [4, 8, 8]
    chip = chain((4, 8, 8), node, lif(4, 8, 6))
    assert chip.shapes["n0"] == tuple(nn.Conv2d(4, 4, (1, 3))(x).shape[1:]) == (4, 8, 6)


def test_a_grouped_conv_is_written_and_cannot_be_read(tmp_path: Path):
    net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), leaky(threshold=0.3))
    conversion, _ = exported(net, IMAGES)
    nir.write(tmp_path / "theirs.nir", conversion.graph.to_nir())
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(tmp_path / "theirs.nir")
    write_nir(tmp_path / "ours.nir", conversion.graph)
    again = ChipGraph.from_nir(read_nir(tmp_path / "ours.nir"), DT)
    assert again.shapes == conversion.graph.shapes
    assert again.nodes["_0"].groups == 2


def test_equality_is_identity(tmp_path: Path):
    """What is compared here is what lies on disk: its hash."""
    first, second = (chain((3,), lif(3)) for _ in range(2))
    assert first.nodes["n0"] != second.nodes["n0"]
    for name, chip in (("a", first), ("b", second)):
        write_nir(tmp_path / name, chip)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_plus_a_is_no_edge_of_nir():
    nodes = {"x": source(8), "n": lif(8), "y": sink(8)}
    with pytest.raises(ValueError, match=r"[Dd]uplicate"):
        nir.NIRGraph(nodes, [("x", "n"), ("x", "n"), ("n", "y")])

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.n = nn.Linear(8, 8), leaky(threshold=0.3)

        def forward(self, x):
            now = self.w(x)
            return self.n(now + now)

    conversion, _ = exported(Twice(), spikes_like((8,)))
    assert np.all(conversion.graph.nodes["w_times_2"].scale == 2)


@pytest.mark.parametrize("tau", [-1e-3, float("nan")])
def test_a_tau_below_0_or_nan_is_taken(tau: float):
    node = nir.LIF(np.full(3, tau), np.ones(3), np.zeros(3), np.ones(3))
    with pytest.raises(SpikeportError, match="tau"):
        graph({"x": source(3), "n": node, "y": sink(3)}, [("x", "n"), ("n", "y")])
