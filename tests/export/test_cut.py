"""Operations that no chip has become host stages between chip stages, and the bundle still is the model."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikeport.deploy import backends
from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.errors import UnfaithfulError
from spikeport.export.convert.trace import trace
from spikeport.export.cut import cut
from spikeport.export.network import Description, export_network
from spikeport.export.sides import placed
from spikeport.export.stages import ChipStage

ABOUT = Description("cut", {}, {})
T, B = 40, 3


def neuron(**kwargs: object) -> snntorch.Leaky:
    return snntorch.Leaky(beta=0.8, init_hidden=True, **kwargs)


class Attention(nn.Module):
    """Spike-by-spike attention: the product of two spike tensors, a residual sum, a norm, a rectifier, a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.first = nn.Linear(6, 8), neuron()
        self.wq, self.q = nn.Linear(8, 8), neuron()
        self.wk, self.k = nn.Linear(8, 8), neuron(reset_mechanism="zero")
        self.wv, self.v = nn.Linear(8, 8), neuron()
        self.wp, self.p = nn.Linear(8, 8), neuron(reset_mechanism="zero")
        self.norm, self.out, self.last = nn.LayerNorm(8), nn.Linear(8, 4), neuron()

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(3 * self.embed(x))
        q, k, v = self.q(3 * self.wq(h)), self.k(3 * self.wk(h)), self.v(3 * self.wv(h))
        mixed = (q @ k.transpose(-2, -1)) @ v * 0.25
        h = h + self.p(2 * self.wp(mixed))
        answer: Tensor = self.last(self.out(F.relu(self.norm(h)))).mean(1)
        return answer


class Gated(nn.Module):
    """Two branches whose product gates a third: one cut, with an input that is read in both stages."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.la = nn.Linear(6, 8), neuron()
        self.b, self.lb = nn.Linear(6, 8), neuron()
        self.c, self.lc = nn.Linear(8, 5), neuron()
        self.d = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.la(3 * self.a(x)) * self.lb(3 * self.b(x))
        spikes: Tensor = self.lc(2 * self.c(gate) + self.d(x))
        return spikes


def sample(*shape: int) -> Tensor:
    return (torch.rand(T, B, *shape, generator=torch.Generator().manual_seed(3)) < 0.4).float()


@pytest.fixture(params=[(Attention, (5, 6), "chc" + "hch"), (Gated, (6,), "chc")], ids=["attention", "gated"])
def case(request):
    kind, shape, stages = request.param
    torch.manual_seed(0)
    return kind(), sample(*shape), stages


def test_the_bundle_is_the_model_spike_for_spike(case, tmp_path) -> None:
    model, x, stages = case
    bundle = export_network(model, {"x": x}, 1e-3, tmp_path / "n.bundle", ABOUT)
    assert "".join(stage.kind[0] for stage in bundle.network.stages) == stages
    assert bundle.manifest.verification.status == "exact"
    golden = bundle.golden()
    run = run_network(bundle.network, lower_network(bundle.network, backends.get("reference")), golden.inputs)
    chips = [stage for stage in bundle.network.stages if isinstance(stage, ChipStage)]
    compared = 0
    for stage in chips:
        for node in stage.graph.spiking:
            np.testing.assert_array_equal(run.recordings[stage.name].nodes[node], golden.nodes[stage.name][node])
            compared += int(golden.nodes[stage.name][node].sum())
    assert compared > 500
    with torch.no_grad():
        expected = torch.stack([model(step) for step in x[:, : golden.inputs["x"].shape[1]]])
    (name,) = bundle.network.outputs
    np.testing.assert_allclose(run.tensors[name], expected, atol=1e-6)


def test_host_work_is_counted(tmp_path) -> None:
    bundle = export_network(Attention(), {"x": sample(5, 6)}, 1e-3, tmp_path / "n.bundle", ABOUT)
    product = bundle.network.stages[1]
    # q kT: 5 x 8 x 5; (q kT) v: 5 x 5 x 8.
    assert product.macs_per_call == 400
    assert product.form == "step"


def test_a_weighted_layer_stands_with_the_neurons_it_feeds() -> None:
    traced = trace(Attention(), {"x": sample(5, 6)[0]})
    parts = cut(traced, placed(traced)).parts
    for part in parts:
        weighted = [n for n in part.module.graph.nodes if n.name in ("wp", "out", "wq")]
        assert part.kind == "chip" or not weighted
    assert sum(len(part.inputs) > 0 for part in parts) == len(parts)


def test_nothing_is_cut_without_need() -> None:
    model = nn.Sequential(nn.Linear(6, 8), neuron(), nn.Linear(8, 5), neuron())
    assert not placed(trace(model, {"input": sample(6)[0]})).needs_host


def test_an_ann_has_no_chip_part(tmp_path) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5))
    with pytest.raises(UnfaithfulError, match="chip"):
        export_network(model, {"input": sample(6)}, 1e-3, tmp_path / "n.bundle", ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_a_neuron_that_nir_cannot_say_is_not_smuggled_onto_the_host(tmp_path) -> None:
    class Stuck(Gated):
        def __init__(self) -> None:
            super().__init__()
            self.lb = neuron(threshold=-0.1)

    with pytest.raises(UnfaithfulError, match="fires at rest"):
        export_network(Stuck(), {"x": sample(6)}, 1e-3, tmp_path / "n.bundle", ABOUT)


class Scaled(Gated):
    """A constant by element on either side of the cut, and one that both sides read."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.shared = nn.Parameter(torch.rand(8) + 1), nn.Parameter(torch.rand(8) + 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.la(self.a(x) * self.gain * self.shared) * self.lb(3 * self.b(x)) * self.shared
        spikes: Tensor = self.lc(2 * self.c(gate) + self.d(x))
        return spikes


def test_a_part_keeps_the_constants_that_it_reads(tmp_path) -> None:
    torch.manual_seed(0)
    model, x = Scaled(), sample(6)
    bundle = export_network(model, {"x": x}, 1e-3, tmp_path / "n.bundle", ABOUT)
    assert "".join(stage.kind[0] for stage in bundle.network.stages) == "chc"
    assert bundle.manifest.verification.status == "exact"
