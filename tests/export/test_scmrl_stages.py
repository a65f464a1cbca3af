"""S-CMRL as a bundle: the chip form whole on the chip, the others cut at what no chip has, all of them exact."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from scmrl_nets import ACTIVE, awake, network, rates, samples

from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.deploy.reference import ReferenceBackend
from spikeport.export.bundle import Bundle
from spikeport.export.call import export
from spikeport.export.stages import HostStage
from spikeport.models.network import SpikingNetwork


def exported(form: str, folder: Path, **changes: object) -> tuple[SpikingNetwork, Bundle]:
    inputs = samples()
    net = awake(network(form, **ACTIVE, **changes), inputs)
    return net, export(net, {name: inputs[name] for name in net.input_names}, 1e-3, folder / "n.bundle")


def kinds(bundle: Bundle) -> list[tuple[str, str]]:
    return [(s.name, s.form if isinstance(s, HostStage) else "chip") for s in bundle.network.stages]


def assert_runs_alike(net: SpikingNetwork, bundle: Bundle) -> None:
    """On samples and steps that the export did not see."""
    inputs = {name: x for name, x in samples(6, 3, seed=5).items() if name in net.input_names}
    arrays = {name: x.numpy() for name, x in inputs.items()}
    run = run_network(bundle.network, lower_network(bundle.network, ReferenceBackend()), arrays)
    with torch.no_grad():
        expected = net.tensors(inputs)
    assert all(0.005 < rate < 0.99 for rate in rates(expected).values())
    np.testing.assert_allclose(run.tensors["logits"][0], expected["logits"].numpy(), rtol=1e-3, atol=1e-4)


def test_the_chip_form_is_one_chip_stage_and_a_readout(tmp_path: Path) -> None:
    net, bundle = exported("chip", tmp_path)
    assert kinds(bundle) == [("core", "chip"), ("readout", "window")]
    assert bundle.manifest.verification.status == "exact"
    (core,) = bundle.network.chips
    # What only the alignment loss reads is an inner population, not an output.
    assert len(core.graph.outputs) == 2
    # alpha is in the weights of its edge: nothing multiplies on the chip.
    assert not [name for name, node in core.graph.nodes.items() if isinstance(node, nir.Scale)]
    assert_runs_alike(net, bundle)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["fixed", "paper"])
def test_the_published_forms_are_chip_stages_around_host_stages(form: str, tmp_path: Path) -> None:
    net, bundle = exported(form, tmp_path)
    attention = [
        (f"attend_{side}_{branch}", "sequence") for side in ("audio", "visual") for branch in ("spatial", "temporal")
    ]
    assert kinds(bundle) == [
        ("core", "chip"),
        *attention,
        ("gates_spatial", "chip"),
        ("gates_temporal", "chip"),
        ("complement_audio", "sequence"),
        ("complement_visual", "sequence"),
        ("fuse", "chip"),
        ("readout", "window"),
    ]
    # 25 tokens, 2 heads of 4 channels, 4 steps: q k^T and its product with v, 25 x 25 x 8 each a step.
    spatial = next(s for s in bundle.network.stages if s.name == "attend_audio_spatial")
    assert isinstance(spatial, HostStage)
    assert spatial.macs_per_call == 2 * 4 * 25 * 25 * 8
    assert_runs_alike(net, bundle)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["weight", "sca", "cmci"])
def test_the_baselines_are_exported_too(method: str, tmp_path: Path) -> None:
    net, bundle = exported("fixed", tmp_path, method=method)
    assert bundle.manifest.verification.status == "exact"
    assert_runs_alike(net, bundle)


def test_a_single_modality_that_attends_to_itself_is_exported_too(tmp_path: Path) -> None:
    net, bundle = exported("fixed", tmp_path, modality="audio", self_attention=True)
    assert kinds(bundle) == [
        ("core", "chip"),
        ("attend_audio", "sequence"),
        ("fuse", "chip"),
        ("readout", "window"),
    ]
    assert_runs_alike(net, bundle)
