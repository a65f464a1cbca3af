"""L2-ActSpikeNet as a bundle: its nets and its fusion are exact chip stages, the L2 layer is a host stage between.

Shapes: T time, B batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import nir
import numpy as np
import pytest
import torch
from l2act_nets import PICTURES, draws, network, params

from spikeport.deploy.call import deploy
from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.deploy.reference import ReferenceBackend
from spikeport.export.bundle import Bundle
from spikeport.export.call import export
from spikeport.export.stages import HostStage
from spikeport.models.l2act.build import L2ActNetwork
from spikeport.models.l2act.params import Block
from spikeport.models.l2act.treat import treat

KINDS = get_args(Block)
FUSED = [("encoders", "chip"), ("l2", "sequence"), ("fusion", "chip"), ("readout", "window")]


def kinds(bundle: Bundle) -> list[tuple[str, str]]:
    return [(s.name, s.form if isinstance(s, HostStage) else "chip") for s in bundle.network.stages]


def exported(net: L2ActNetwork, folder: Path) -> Bundle:
    bundle = export(net, draws(net, samples=6), 1e-3, folder / "n.bundle")
    assert bundle.manifest.verification.status == "exact"
    return bundle


def same_answers(net: L2ActNetwork, bundle: Bundle, steps: int = 8) -> None:
    """Other samples and other T than the export's."""
    inputs = draws(net, steps=steps, samples=5, seed=9)
    lowered = lower_network(bundle.network, ReferenceBackend())
    run = run_network(bundle.network, lowered, {name: x.numpy() for name, x in inputs.items()})
    with torch.no_grad():
        expected = net(inputs)
    np.testing.assert_allclose(run.tensors[net.answer][0], expected.numpy(), rtol=1e-4, atol=1e-6)


def of_kind(kind: Block, **changes: Any) -> L2ActNetwork:
    return network(visual=params().visual.model_dump() | {"block": kind}, **changes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_the_nets_are_exact_with_every_block(kind: Block, reset: str, tmp_path: Path) -> None:
    net = of_kind(kind, reset=reset)
    bundle = export(net.encoders, draws(net, samples=6), 1e-3, tmp_path / "n.bundle")
    assert bundle.manifest.verification.status == "exact"
    # A block of these kinds ends in a sum, which is no neuron's: alone, the host adds.
    adds = kind in ("sew", "standard")
    ends = [("chip_0", "chip"), ("host_1", "step")] if adds else [("core", "chip")]
    assert kinds(bundle) == ends
    spikes = bundle.golden().nodes[ends[0][0]]
    assert all(spikes[name].any() for name in bundle.network.chips[0].graph.spiking)


def test_an_identity_skip_is_an_edge_between_two_neurons(tmp_path: Path) -> None:
    net = of_kind("act-after-add")
    graph = export(net.encoders, draws(net), 1e-3, tmp_path / "n.bundle").network.chips[0].graph
    spiking = {name for name, node in graph.nodes.items() if isinstance(node, nir.LIF)}
    # One block of three keeps channels and size; nothing else joins two neurons without weights.
    ((before, after),) = [(a, b) for a, b in graph.edges if a in spiking and b in spiking]
    assert len([a for a, b in graph.edges if b == after]) == 2
    assert len([b for a, b in graph.edges if a == before]) == 2


def test_a_network_of_the_second_stage_exports_without_its_heads(tmp_path: Path) -> None:
    net = network(stage="fusion")
    bundle = exported(net, tmp_path)
    assert kinds(bundle) == FUSED
    assert bundle.manifest.outputs == ("logits",)
    same_answers(net, bundle)


@pytest.mark.slow
def test_with_a_constant_all_but_the_readout_is_one_chip_stage(tmp_path: Path) -> None:
    net = network(PICTURES)
    folded = treat(net, "constant", draws(net)).network
    bundle = exported(folded, tmp_path)
    assert kinds(bundle) == [("core", "chip"), ("readout", "window")]
    same_answers(folded, bundle)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_whole_networks_answer_alike_with_every_block(kind: Block, tmp_path: Path) -> None:
    net = of_kind(kind)
    bundle = exported(net, tmp_path)
    assert kinds(bundle) == FUSED
    same_answers(net, bundle)


@pytest.mark.slow
@pytest.mark.parametrize("on", ["per-step", "membrane"])
def test_other_embeddings_export_too(on: str, tmp_path: Path) -> None:
    net = network(PICTURES, l2={"on": on})
    same_answers(net, exported(net, tmp_path))


@pytest.mark.slow
def test_a_dropped_layer_leaves_the_net_and_its_head(tmp_path: Path) -> None:
    net = treat(network(modality="visual"), "auto").network
    bundle = exported(net, tmp_path)
    assert kinds(bundle) == [("encoders", "chip"), ("readout", "window")]
    same_answers(net, bundle)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "backend"),
    [
        *(("constant", backend) for backend in ("lava-float", "norse", "loihi")),
        *(("host", backend) for backend in ("lava-float", "norse", "loihi")),
    ],
)
def test_backends_run_it_as_they_declare(how: Any, backend: str, tmp_path: Path) -> None:
    """A skip beside a path of several layers: on backends that delay each hop, both must arrive together."""
    net = network(PICTURES)
    bundle = exported(treat(net, how, draws(net)).network, tmp_path)
    found = deploy(bundle, backend, tmp_path / "out")
    assert found.as_declared
    assert found.agreements.keys() == ({"encoders", "fusion"} if how == "host" else {"core"})
    if backend != "loihi":
        assert all(agreement.exact for agreement in found.agreements.values())
