"""Coverage: by hand, through latency and stages, and what the words advise helps."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.bundle import Bundle
from spikeport.export.call import export
from spikeport.export.coverage import Coverage, NodeCoverage, cover, lines, require
from spikeport.export.graph import ChipGraph
from spikeport.export.recording import FLOAT64, Recording

# Three steps of two samples; neurons: never, once, always, always but once.
SPIKES = np.array(
    [
        [[0, 0, 1, 1], [0, 0, 1, 1]],
        [[0, 0, 1, 1], [0, 1, 1, 1]],
        [[0, 0, 1, 0], [0, 0, 1, 1]],
    ],
    np.uint8,
)


def test_one_node_by_hand() -> None:
    assert NodeCoverage.of(SPIKES) == NodeCoverage(neurons=4, share=0.5, never_exercised=1, always=1)
    assert NodeCoverage.of(SPIKES[:, :1]) == NodeCoverage(neurons=4, share=0.25, never_exercised=2, always=1)
    assert NodeCoverage.of(SPIKES[:1]) == NodeCoverage(neurons=4, share=0.0, never_exercised=2, always=2)


def test_a_shape_of_several_axes_is_counted_by_element() -> None:
    grid = SPIKES.reshape(3, 2, 2, 2)
    assert NodeCoverage.of(grid) == NodeCoverage.of(SPIKES)
    assert NodeCoverage.of(SPIKES.astype(np.float32)) == NodeCoverage.of(SPIKES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"neurons": 4, "share": 0.6, "never_exercised": 1, "always": 1},
        {"neurons": 4, "share": 0.25, "never_exercised": 5, "always": -2},
        {"neurons": 0, "share": 0.0, "never_exercised": 0, "always": 0},
        {"neurons": 4, "share": 1.0, "never_exercised": 0, "always": 0, "more": 1},
    ],
)
def test_figures_that_do_not_add_up_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        NodeCoverage.model_validate(wrong)


class Layers(nn.Module):
    """Two layers; the second fires only where two of the first do at once."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.lif1 = nn.Linear(3, 3, bias=False), leaky()
        self.second, self.lif2 = nn.Linear(3, 2, bias=False), leaky()
        with torch.no_grad():
            self.first.weight.copy_(2 * torch.eye(3))
            self.second.weight.copy_(torch.tensor([[0.6, 0.6, 0.0], [0.0, 0.6, 0.6]]))

    def forward(self, x: Tensor) -> Tensor:
        spikes: Tensor = self.lif2(self.second(self.lif1(self.first(x))))
        return spikes


def leaky() -> snntorch.Leaky:
    return snntorch.Leaky(beta=0.5, init_hidden=True, reset_mechanism="zero")


def pulses(*at: tuple[int, int]) -> Tensor:
    x_TN = torch.zeros(12, 3)
    for step, channel in at:
        x_TN[step, channel] = 1
    return x_TN


# One input at a time: each of the first layer fires, and no two in time for the second's threshold.
WEAK = pulses((0, 0), (4, 1), (8, 2))[:, None]
STRONG = torch.stack([WEAK[:, 0], pulses((1, 0), (1, 1), (5, 1), (5, 2))], dim=1)


def by_hand(x_TBN: Tensor) -> list[np.ndarray]:
    """Both layers in plain numpy float32, as the equations say."""
    first, second = Layers().first.weight.numpy(force=True), Layers().second.weight.numpy(force=True)
    v1, v2 = np.zeros((x_TBN.shape[1], 3), np.float32), np.zeros((x_TBN.shape[1], 2), np.float32)
    fired: list[list[np.ndarray]] = [[], []]
    for x in x_TBN.numpy():
        v1 = v1 / 2 + x @ first.T
        s1 = v1 > 1
        v1[s1] = 0
        v2 = v2 / 2 + s1.astype(np.float32) @ second.T
        s2 = v2 > 1
        v2[s2] = 0
        fired[0].append(s1)
        fired[1].append(s2)
    return [np.stack(spikes) for spikes in fired]


def test_the_case_is_what_it_says() -> None:
    assert [spikes.any() for spikes in by_hand(WEAK)] == [True, False]
    assert all(spikes.any(axis=(0, 1)).all() and not spikes.all(axis=(0, 1)).any() for spikes in by_hand(STRONG))


def test_a_layer_that_never_fires_is_not_proven_and_a_stronger_sample_proves_it(tmp_path, caplog) -> None:
    weak = export(Layers(), WEAK, 1e-3, tmp_path / "weak.bundle")
    found = weak.manifest.verification.coverage
    assert found == Coverage(
        per_node={
            "lif1": NodeCoverage(neurons=3, share=1.0, never_exercised=0, always=0),
            "lif2": NodeCoverage(neurons=2, share=0.0, never_exercised=2, always=0),
        }
    )
    assert found.unproven == ("lif2",)
    told = "not proven: lif2 never fired: give more samples, or samples that drive it"
    assert lines(found)[1:] == ["  lif2: 0 %, 2 of 2 never fired", told]
    assert told in caplog.text

    caplog.clear()
    strong = export(Layers(), STRONG, 1e-3, tmp_path / "strong.bundle")
    found = strong.manifest.verification.coverage
    assert found is not None
    assert found.unproven == ()
    assert lines(found) == ["coverage: 100 %, every neuron fired and none fired always"]
    assert caplog.text == ""
    again = Bundle.open(tmp_path / "strong.bundle").manifest.verification.coverage
    assert again == found


def test_required_coverage_that_is_not_met_writes_nothing_and_names_the_nodes(tmp_path) -> None:
    with pytest.raises(UnfaithfulError, match=r"required 0.5: 'lif2' 0 %, 2 of 2 never fired\. Give more samples"):
        export(Layers(), WEAK, 1e-3, tmp_path / "n.bundle", require_coverage=0.5)
    assert list(tmp_path.iterdir()) == []
    export(Layers(), WEAK, 1e-3, tmp_path / "less.bundle", require_coverage=0)
    export(Layers(), STRONG, 1e-3, tmp_path / "n.bundle", require_coverage=1)


def test_a_required_coverage_that_is_none_is_refused(tmp_path) -> None:
    for share in (-0.1, 1.1, 90, float("nan")):
        with pytest.raises(UsageError, match="it is a share of 1"):
            export(Layers(), WEAK, 1e-3, tmp_path / "n.bundle", require_coverage=share)
    with pytest.raises(UsageError, match="nothing is verified"):
        export(Layers(), WEAK, 1e-3, tmp_path / "n.bundle", verify=False, require_coverage=0.5)
    assert list(tmp_path.iterdir()) == []


def test_without_verification_nothing_is_covered(tmp_path, caplog) -> None:
    bundle = export(Layers(), WEAK, 1e-3, tmp_path / "n.bundle", verify=False)
    assert bundle.manifest.verification.coverage is None
    assert caplog.text == ""


class Memory(nn.Module):
    """A spiking LSTM, which runs on the host, between two layers on the chip."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.first = nn.Linear(3, 4), leaky()
        self.lstm = snntorch.SLSTM(4, 4, init_hidden=True, threshold=0.05)
        self.out, self.last = nn.Linear(4, 2), leaky()
        with torch.no_grad():
            self.embed.weight.mul_(6)

    def forward(self, x: Tensor) -> Tensor:
        spikes: Tensor = self.last(self.out(self.lstm(self.first(self.embed(x)))))
        return spikes


def test_neurons_on_the_host_are_covered_under_their_stage(tmp_path) -> None:
    torch.manual_seed(0)
    net, x = Memory(), torch.rand(12, 3, 3)
    bundle = export(net, x, 1e-3, tmp_path / "n.bundle")
    found = bundle.manifest.verification.coverage
    assert found is not None
    assert list(found.per_node) == ["chip_0.first", "chip_2.last", "host_1.lstm"]
    with torch.no_grad():
        spikes = torch.stack([net.lstm(net.first(net.embed(step))) for step in x]) > 0
    fired, always = spikes.any(1).any(0), spikes.all(1).all(0)
    assert found.per_node["host_1.lstm"].never_exercised == int((~fired).sum())
    assert found.per_node["host_1.lstm"].always == int(always.sum())
    assert found.per_node["host_1.lstm"].share == float((fired & ~always).float().mean())


def recorded(graph: ChipGraph, late: int) -> Recording:
    """The four neurons above, `late` steps late, silent before; the tail after them fires everywhere."""
    before, after = np.zeros((late, 2, 4), np.uint8), np.ones((2, 2, 4), np.uint8)
    nodes = {"lif": np.concatenate([before, SPIKES, after])}
    return Recording(nodes, {"lif": late}, 3, FLOAT64)


@pytest.fixture
def graph(tmp_path) -> ChipGraph:
    net = nn.Sequential()
    net.add_module("fc", nn.Linear(4, 4))
    net.add_module("lif", leaky())
    bundle = export(net, torch.rand(3, 2, 4), 1e-3, tmp_path / "n.bundle", verify=False)
    return bundle.network.chips[0].graph


def test_latency_is_taken_off_and_the_tail_too(graph: ChipGraph) -> None:
    for late in (0, 1, 4):
        assert cover([("core", graph, recorded(graph, late))]).per_node == {"lif": NodeCoverage.of(SPIKES)}


def test_nodes_of_several_stages_carry_their_stages_name(graph: ChipGraph) -> None:
    stages = [("a", graph, recorded(graph, 0)), ("b", graph, recorded(graph, 1))]
    host = {"mid.lstm": SPIKES[:, :1]}
    found = cover(stages, host)
    assert list(found.per_node) == ["a.lif", "b.lif", "mid.lstm"]
    assert found.per_node["mid.lstm"].never_exercised == 2
    with pytest.raises(UnfaithfulError, match=r"'a\.lif' 50 %, 1 of 4 never fired, 1 of 4 always fired; 'b\.lif'"):
        require(found, 0.5 + 1e-9)
    assert set(found.below(0.5)) == {"mid.lstm"}


def test_shares_are_rounded_down() -> None:
    almost = NodeCoverage(neurons=100_000, share=0.99999, never_exercised=1, always=0)
    assert almost.told() == "99.9 %, 1 of 100000 never fired"
    assert lines(Coverage(per_node={}))[0] == "coverage: no node fires spikes"
