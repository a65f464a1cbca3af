"""Plain torch modules as ONNX files: the ANN twin, several named inputs, several outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.onnx import write_ann_onnx
from spikeport.models import MODELS
from spikeport.models.twin import Equivalent


def ran(path: Path, **inputs: Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {n: x.numpy() for n, x in inputs.items()})


def close(got: np.ndarray, wanted: Tensor) -> None:
    np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_twin_runs_at_any_batch_and_number_of_frames(tmp_path: Path) -> None:
    family = MODELS.get("av-digits")
    twin = family.twin(family.params(channels=(2, 3)), {"image": (1, 28, 28), "audio": (20,)}, 10)
    twin.train()
    write_ann_onnx(twin, {"image": torch.rand(1, 1, 28, 28), "audio": torch.rand(1, 6, 20)}, tmp_path / "ann.onnx")
    assert twin.training
    for batch, frames in ((1, 6), (5, 9)):
        x = {"image": torch.rand(batch, 1, 28, 28), "audio": torch.rand(batch, frames, 20)}
        (logits,) = ran(tmp_path / "ann.onnx", **x)
        close(logits, twin(x))
    model = onnx.load(tmp_path / "ann.onnx")
    assert [o.name for o in model.graph.output] == ["logits"]
    content = (tmp_path / "ann.onnx").read_bytes()
    assert not any(place in content for place in (str(tmp_path).encode(), b"/work", b"/home", b"site-packages", b".py"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_twin_of_a_network_with_two_inputs_of_steps_is_written(tmp_path: Path) -> None:
    """Their steps and samples are compared while both are free."""
    family = MODELS.get("s-cmrl")
    visual, audio = [{"channels": 4, "stride": 4}], [{"channels": 4, "stride": 2}]
    params = family.params(inputs=("audio", "visual"), channels=4, heads=1, visual=visual, audio=audio)
    sequences = Equivalent(frame_inputs=frozenset({"audio", "visual"}))
    twin = family.twin(params, {"audio": (1, 4, 4), "visual": (2, 8, 8)}, 10, sequences)
    inputs = {"audio": torch.rand(2, 3, 1, 4, 4), "visual": torch.rand(2, 3, 2, 8, 8)}
    assert write_ann_onnx(twin, inputs, tmp_path / "ann.onnx") <= 1e-5


class TwoInTwoOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        return self.dropout(self.fc(left)) + right, left.sum(1)


def test_named_inputs_and_several_outputs(tmp_path: Path) -> None:
    net = TwoInTwoOut()
    x = {"right": torch.rand(2, 3), "left": torch.rand(2, 4)}
    assert write_ann_onnx(net, x, tmp_path / "net.onnx") <= 1e-5
    got = ran(tmp_path / "net.onnx", **x)
    for y, wanted in zip(got, net.eval()(**x), strict=True):
        close(y, wanted)


class Chance(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


def test_what_cannot_be_the_same_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(UnfaithfulError, match="differs by"):
        write_ann_onnx(Chance(), {"x": torch.rand(2, 3)}, path)
    with pytest.raises(UsageError, match="fails on them"):
        write_ann_onnx(TwoInTwoOut(), {"left": torch.rand(2, 4)}, path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_ann_onnx(TwoInTwoOut(), {}, path)
