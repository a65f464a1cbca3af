from __future__ import annotations

import pytest
import snntorch
import torch
from pydantic import ValidationError
from torch import nn

from spikeport.errors import UsageError
from spikeport.models import MODELS
from spikeport.models.av_digits import AvDigitsParams, AvDigitsTwin, build
from spikeport.models.state import neurons

SHAPES = {"image": (1, 13, 13), "audio": (3,)}
SMALL = AvDigitsParams(channels=(2, 3), audio=(4,), fused=5)


@pytest.fixture(autouse=True)
def drawn_alike() -> None:
    """Of networks this small, some draws have a layer that is silent."""
    torch.manual_seed(0)


def test_the_image_branch_is_deeper_than_the_audio_branch() -> None:
    names = list(neurons(build(SMALL, SHAPES, 10).core))
    assert [name.split(".")[0] for name in names] == ["image", "image", "audio", "fuse"]


def test_every_neuron_resets_to_zero_with_one_decay_and_threshold_a_layer() -> None:
    params = SMALL.model_copy(update={"beta_image": 0.7, "beta_audio": 0.6, "beta_fused": 0.5, "threshold": 2.0})
    found = neurons(build(params, SHAPES, 10).core)
    assert [float(neuron.beta) for neuron in found.values()] == pytest.approx([0.7, 0.7, 0.6, 0.5])
    assert {float(neuron.threshold) for neuron in found.values()} == {2.0}
    assert {neuron.reset_mechanism for neuron in found.values()} == {"zero"}


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_a_single_modality_takes_its_input_only(modality: str) -> None:
    net = build(SMALL.model_copy(update={"modality": modality}), SHAPES, 10)
    assert net.input_names == (modality,)
    assert net({modality: torch.ones(2, 3, *SHAPES[modality])}).shape == (3, 10)
    with pytest.raises(UsageError, match=f"Give exactly: {modality}"):
        net({name: torch.ones(2, 3, *shape) for name, shape in SHAPES.items()})


def test_fusion_is_one_linear_on_the_concatenation() -> None:
    core = build(SMALL, SHAPES, 10).core
    a, b = torch.rand(2, 3), torch.rand(2, 4)
    weight = torch.cat((core.fuse_image.weight, core.fuse_audio.weight), 1)
    bias = core.fuse_image.bias + core.fuse_audio.bias
    joined = nn.functional.linear(torch.cat((a, b), 1), weight, bias)
    torch.testing.assert_close(core.fuse_image(a) + core.fuse_audio(b), joined)


def test_the_twin_averages_frames_and_sees_the_still_once() -> None:
    twin = AvDigitsTwin(SMALL, SHAPES, 10)
    image, audio = torch.rand(2, 1, 13, 13), torch.randn(2, 6, 3)
    per_frame = [torch.relu(twin.core.audio[0](audio[:, frame])) for frame in range(6)]
    heard = twin.core.fuse_audio(sum(per_frame) / 6)
    seen = torch.relu(twin.core.image[2](torch.relu(twin.core.image[0](image)))).flatten(1)
    expected = twin.readout(torch.relu(twin.core.fuse_image(seen) + heard))
    torch.testing.assert_close(twin({"image": image, "audio": audio}), expected)


def test_averaging_after_the_layer_is_not_averaging_before_it() -> None:
    twin = AvDigitsTwin(SMALL, SHAPES, 10)
    image, audio = torch.rand(2, 1, 13, 13), torch.randn(2, 6, 3)
    flat = twin({"image": image, "audio": audio.mean(1, keepdim=True)})
    assert not torch.allclose(twin({"image": image, "audio": audio}), flat)


def test_the_twin_says_how_often_each_layer_runs() -> None:
    assert AvDigitsTwin(SMALL, SHAPES, 10).runs_per_sample(16) == {
        "core.image.0": 1,
        "core.image.2": 1,
        "core.audio.0": 16,
        "core.fuse_image": 1,
        "core.fuse_audio": 1,
        "readout": 1,
    }


@pytest.mark.parametrize("modality", ["image", "audio", "both"])
def test_twin_and_network_have_the_same_core_weights(modality: str) -> None:
    params = SMALL.model_copy(update={"modality": modality})
    net, twin = build(params, SHAPES, 10), AvDigitsTwin(params, SHAPES, 10)
    shapes = [{name: value.shape for name, value in module.core.named_parameters()} for module in (net, twin)]
    assert shapes[0] == shapes[1] != {}
    assert set(twin.runs_per_sample(7).values()) <= {1, 7}


def test_wrong_axes_and_wrong_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match=r"input 'audio' of shape \[2, 3\]"):
        build(SMALL, {"image": (1, 13, 13), "audio": (2, 3)}, 10)
    with pytest.raises(ValidationError, match="beta_imag"):
        AvDigitsParams.model_validate({"beta_imag": 0.5})
    with pytest.raises(ValidationError, match="less than 1"):
        AvDigitsParams(beta_image=1.0)


def test_the_family_is_registered() -> None:
    family = MODELS.get("av-digits")
    assert "av-digits" in list(MODELS)
    assert family.inputs(family.params()) == ("image", "audio")


def test_building_leaves_no_state_behind() -> None:
    core = build(SMALL, SHAPES, 10).core
    assert all(isinstance(neuron, snntorch.Leaky) and neuron.mem.numel() == 0 for neuron in neurons(core).values())
