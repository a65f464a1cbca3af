"""S-CMRL's chip form on every backend: Norse and Lava's float are the reference, the engine is Lava's integers.

Its two embeddings differ in depth and meet at ANDs, so on backends that take a step a hop the shallower has to wait.
Shapes: T time, B batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scmrl_nets import CLASSES, params, settled
from torch import Tensor

from spikeport.deploy import backends
from spikeport.deploy.compare import compare_runs
from spikeport.deploy.deployment import audit_run
from spikeport.deploy.pipeline import NetworkRun, lower_network, run_network, scores
from spikeport.export.bundle import Bundle
from spikeport.export.call import export
from spikeport.export.graph import ChipGraph
from spikeport.export.stages import StagedNetwork
from spikeport.models.scmrl.build import build

SHAPES = {"audio": (1, 4, 6), "visual": (2, 8, 12)}
HALVED = {"channels": 4, "stride": 2}
TINY = {"channels": 4, "heads": 1, "mlp_ratio": 1, "audio": (HALVED,), "visual": (HALVED, HALVED)}
SEEN, UNSEEN = 2, 5
FLOATS = ("reference", "norse", "lava-float")
# Every path from the other modality: the spatial gate's edge into the residual, and the temporal gate's.
CROSSINGS = [(side, f"after_{side}_edges_{gate}_0") for side in ("audio", "visual") for gate in (0, 1)]


def draws(seed: int) -> dict[str, Tensor]:
    """Spikes [T, B, *shape], of a rate of their own for each sample, so that answers differ."""
    draw = torch.Generator().manual_seed(seed)
    rate_B = torch.rand(6, 1, 1, 1, generator=draw) * 0.6 + 0.1
    return {name: (torch.rand(8, 6, *shape, generator=draw) < rate_B).float() for name, shape in SHAPES.items()}


@dataclass(frozen=True)
class Exported:
    """A bundle opened from disk, and what torch answers to samples that the export did not see."""

    network: StagedNetwork
    golden: Mapping[str, NDArray[np.generic]]
    labels: NDArray[np.int64]
    runs: dict[str, NetworkRun] = field(default_factory=dict)

    @property
    def core(self) -> ChipGraph:
        (stage,) = self.network.chips
        return stage.graph

    def run(self, name: str) -> NetworkRun:
        """Run it on a backend, once for all tests."""
        if name not in self.runs:
            self.runs[name] = self.run_of(name, self.network)
        return self.runs[name]

    def run_of(self, name: str, network: StagedNetwork) -> NetworkRun:
        """Run `network` on samples that the export did not see; scales are chosen on those that it saw."""
        unseen = {tensor: x.numpy() for tensor, x in draws(UNSEEN).items()}
        return run_network(network, lower_network(network, backends.get(name), self.golden), unseen)

    def labels_of(self, run: NetworkRun) -> NDArray[np.int64]:
        return scores(run, self.network).argmax(1)

    def altered(self, node: str) -> StagedNetwork:
        """Return the network with one weight of `node`, its largest, of the other sign."""
        weight = np.array(self.core.nodes[node].weight)
        weight.flat[np.abs(weight).argmax()] *= -1
        core, readout = self.network.stages
        nodes = {**self.core.nodes, node: replace(self.core.nodes[node], weight=weight)}
        return replace(self.network, stages=(replace(core, graph=replace(self.core, nodes=nodes)), readout))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    torch.manual_seed(SEEN)
    inputs = draws(SEEN)
    net = settled(build(params("chip", v_threshold=0.25, **TINY), SHAPES, CLASSES), inputs)
    path = tmp_path_factory.mktemp("scmrl") / "n.bundle"
    export(net, inputs, 1e-3, path)
    bundle = Bundle.open(path)
    with torch.no_grad():
        labels = net.tensors(draws(UNSEEN))["logits"].argmax(1).numpy()
    return Exported(bundle.network, bundle.golden().inputs, labels)


def test_both_modalities_and_both_gates_speak(exported: Exported) -> None:
    """What is silent would agree on any backend."""
    assert [stage.name for stage in exported.network.stages] == ["core", "readout"]
    spikes = exported.run("reference").recordings["core"].nodes
    gates = {f"after_{side}_gates_{gate}_both_neuron" for side in SHAPES for gate in (0, 1)}
    assert gates < set(exported.core.spiking)
    rates = {name: float(spikes[name].mean()) for name in exported.core.spiking}
    assert all(0.005 < rate < 0.5 for rate in rates.values()), rates
    assert len(set(exported.labels)) > 1


@pytest.mark.parametrize("name", FLOATS)
def test_every_spike_is_the_references(name: str, exported: Exported) -> None:
    run = exported.run(name)
    agreement = audit_run(exported.network, run)["core"]
    assert agreement.exact, agreement.first_divergence
    assert all(agreement.per_node[node].spikes_shared for node in exported.core.spiking)
    np.testing.assert_array_equal(exported.labels_of(run), exported.labels)
    # Of the two answers Lava's visual one is later, by the one layer more of its embedding.
    audio, visual = (agreement.latency_steps[node] for node in exported.core.outputs)
    assert visual - audio == (1 if name == "lava-float" else 0)


def test_the_engine_is_lavas_integers_spike_for_spike(exported: Exported) -> None:
    ours, theirs = exported.run("loihi"), exported.run("lava-fixed")
    found = compare_runs(ours, theirs)["core"]
    assert found.differing == 0, found.first
    assert all(ours.recordings["core"].nodes[node].any() for node in exported.core.spiking)
    # Near the float network, though not it: quantised weights move spikes.
    agreement = audit_run(exported.network, ours)["core"]
    assert not agreement.exact
    assert agreement.jaccard > 0.8
    labels = exported.labels_of(ours)
    np.testing.assert_array_equal(labels, exported.labels_of(theirs))
    assert set(labels) <= set(range(CLASSES))


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize(("side", "node"), CROSSINGS)
def test_a_network_with_one_other_weight_at_any_crossing_is_another(
    side: str, node: str, name: str, exported: Exported
) -> None:
    agreement = audit_run(exported.altered(node), exported.run(name))["core"]
    assert agreement.mismatches > 0
    assert agreement.first_divergence is not None
    assert agreement.first_divergence.node == f"after_{side}_residual"


@pytest.mark.parametrize("name", ["reference", pytest.param("norse", marks=pytest.mark.slow)])
def test_a_backend_that_runs_one_other_weight_is_found(name: str, exported: Exported) -> None:
    run = exported.run_of(name, exported.altered("after_visual_edges_1_0"))
    agreement = audit_run(exported.network, run)["core"]
    assert agreement.mismatches > 0
    assert agreement.first_divergence is not None
    assert agreement.first_divergence.node == "after_visual_residual"


def test_one_other_weight_parts_the_engine_from_lava(exported: Exported) -> None:
    ours = exported.run_of("loihi", exported.altered("after_visual_edges_1_0"))
    found = compare_runs(ours, exported.run("lava-fixed"))["core"]
    assert found.differing > 0
    assert found.first is not None
    assert found.first[0] == "after_visual_residual"
