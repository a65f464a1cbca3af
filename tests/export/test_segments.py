"""Networks of several segments: cut where the model says, verified piece by piece, run as the model runs.

Shapes: T time, B batch, `*` the tensor's own shape.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from segment_nets import AcrossTime, B, T, network
from torch import Tensor

from spikeport.deploy.pipeline import lower_network, run_network
from spikeport.deploy.reference import ReferenceBackend
from spikeport.errors import UnfaithfulError
from spikeport.export.bundle import Bundle
from spikeport.export.call import export
from spikeport.export.stages import HostStage


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    sample = torch.rand(T, B, 4, generator=torch.Generator().manual_seed(0))
    return export(network(), {"x": sample}, 1e-3, tmp_path_factory.mktemp("b") / "n.bundle")


def test_stages_stand_where_the_segments_do(bundle: Bundle) -> None:
    kinds = [(s.name, s.form if isinstance(s, HostStage) else "chip") for s in bundle.network.stages]
    assert kinds == [("encode", "chip"), ("across", "sequence"), ("join", "chip"), ("readout", "window")]
    assert bundle.manifest.verification.status == "exact"


def test_what_only_a_loss_reads_is_left_out(bundle: Bundle) -> None:
    (encode, _) = bundle.network.chips
    assert not any("loss" in name for name in encode.graph.nodes)


def test_other_samples_and_steps_give_what_the_model_gives(bundle: Bundle) -> None:
    """T and B differ from the export's, so that neither is baked into the ONNX."""
    x = torch.rand(T + 3, B + 2, 4, generator=torch.Generator().manual_seed(1))
    run = run_network(bundle.network, lower_network(bundle.network, ReferenceBackend()), {"x": x.numpy()})
    with torch.no_grad():
        expected = network().tensors({"x": x})
    assert 0 < float(expected["s"].mean()) < 1
    assert 0 < float(expected["spikes"].mean()) < 1
    np.testing.assert_array_equal(run.tensors["spikes"], expected["spikes"].numpy())
    np.testing.assert_allclose(run.tensors["mixed"], expected["mixed"].numpy(), rtol=1e-5)
    np.testing.assert_allclose(run.tensors["logits"][0], expected["logits"].numpy(), rtol=1e-4, atol=1e-6)


def test_multiply_accumulates_of_a_sequence_count_its_steps(bundle: Bundle) -> None:
    (across,) = [s for s in bundle.network.stages if s.name == "across"]
    assert isinstance(across, HostStage)
    # s s^T is T x T x 6, and its product with x T x T x 4.
    assert across.macs_per_call == T * T * 6 + T * T * 4


def test_a_sequence_that_mixes_samples_is_refused(tmp_path: Path) -> None:
    class Mixes(AcrossTime):
        def forward(self, s_TBN: Tensor, x_TBN: Tensor) -> tuple[Tensor, Tensor]:
            mixed, mean = super().forward(s_TBN, x_TBN)
            return mixed - x_TBN.mean(1, keepdim=True), mean

    with pytest.raises(UnfaithfulError, match="computed from another sample"):
        export(network(Mixes()), {"x": torch.rand(T, B, 4)}, 1e-3, tmp_path / "n.bundle")
    assert not (tmp_path / "n.bundle").exists()
