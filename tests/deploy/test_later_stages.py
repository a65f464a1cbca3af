"""Stages behind others are calibrated on what reaches them; a membrane without memory has an integer form."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from deploy_nets import chain, lif, sink, source
from segment_nets import B, T, network

from spikeport.deploy import backends
from spikeport.deploy.loihi.backend import LoihiBackend
from spikeport.deploy.loihi.program import LoihiProgram
from spikeport.deploy.pipeline import lower_network
from spikeport.deploy.reference import ReferenceProgram
from spikeport.export.call import export
from spikeport.export.stages import StagedNetwork

SAMPLE = torch.rand(T, B, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> StagedNetwork:
    return export(network(), {"x": SAMPLE}, 1e-3, tmp_path_factory.mktemp("b") / "n.bundle").network


def test_a_stage_behind_a_host_stage_is_calibrated_on_what_the_host_gives(staged: StagedNetwork) -> None:
    programs = lower_network(staged, LoihiBackend(), {"x": SAMPLE.numpy()})
    join = programs["join"]
    assert isinstance(join, LoihiProgram)
    assert set(join.quantised.input_scales) == {"mixed", "mean"}
    mean = SAMPLE.mean(0).max()
    assert join.quantised.input_limits["mean"] >= float(mean)
    blind = lower_network(staged, LoihiBackend())["join"]
    assert isinstance(blind, LoihiProgram)
    assert blind.quantised.input_scales == {}


@pytest.mark.parametrize("name", list(backends))
def test_the_reference_runs_only_for_backends_that_calibrate(
    name: str, staged: StagedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[ReferenceProgram] = []
    honest = ReferenceProgram.run
    monkeypatch.setattr(ReferenceProgram, "run", lambda self, inputs: (ran.append(self), honest(self, inputs))[1])
    lower_network(staged, backends.get(name), {"x": SAMPLE.numpy()})
    assert bool(ran) == (name in ("loihi", "lava-fixed"))


def test_a_coincidence_neuron_is_and_in_loihis_integers() -> None:
    """Its decay of 1 is held as 4095/4096, which no coincidence notices: 1/4096 of 2 is far from the margin of 1/2."""
    both = nir.Linear(np.concatenate([np.eye(5), np.eye(5)], axis=1))
    graph = chain(x=source(10), both=both, s=lif(5, beta=0.0, threshold=1.5), out=sink(5))
    x = (np.random.default_rng(0).random((200, 3, 10)) < 0.6).astype(float)
    recording = LoihiBackend().lower(graph, {"x": x}).run({"x": x})
    np.testing.assert_array_equal(recording.aligned("s"), (x[..., :5] + x[..., 5:]) == 2)
