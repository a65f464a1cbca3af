"""The ANN equivalents: bits, levels, frames and widths, by hand."""

from __future__ import annotations

import pytest
import torch

from spikeport.benchmarks.counting.ann import count_ann
from spikeport.errors import UsageError
from spikeport.models.av_digits import AvDigitsParams, twin, twin_macs
from spikeport.models.twin import Equivalent, QuantisedReLU
from spikeport.train.recipe import load_recipe
from spikeport.train.samples import build_network

SHAPES = {"image": (1, 13, 13), "audio": (3,)}
SMALL = AvDigitsParams(channels=(2, 3), audio=(4,), fused=5)
INPUTS = {"image": torch.rand(2, 1, 13, 13), "audio": torch.randn(2, 6, 3)}


@pytest.mark.parametrize(("steps", "bits"), [(1, 1), (3, 2), (4, 3), (7, 3), (8, 4), (15, 4), (16, 5)])
def test_bits_hold_every_spike_count(steps: int, bits: int) -> None:
    assert Equivalent("quantised", steps).bits == bits
    assert 2**bits >= steps + 1 > 2 ** (bits - 1)


def test_quantised_activations_by_hand() -> None:
    """Two bits under a ceiling of 4 are 0, 4/3, 8/3 and 4; gradients pass the rounding and stop at the ends."""
    layer = QuantisedReLU(2)
    x = torch.tensor([-1.0, 0.6, 0.7, 2.1, 9.0], requires_grad=True)
    y = layer(x)
    torch.testing.assert_close(y, torch.tensor([0, 0, 4 / 3, 8 / 3, 4]), rtol=1e-5, atol=1e-5)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    assert layer.ceiling.grad == pytest.approx(1)


def test_the_quantised_twin_emits_its_levels_only() -> None:
    net = twin(SMALL, SHAPES, 10, Equivalent("quantised", 4))
    seen: list[torch.Tensor] = []
    net.core.fuse.register_forward_hook(lambda _m, _i, out: seen.append(out))
    net(INPUTS)
    units = seen[0] / (net.core.fuse.ceiling.abs() / 7)
    torch.testing.assert_close(units, units.round(), atol=1e-4, rtol=0)


def test_per_frame_runs_everything_for_every_frame() -> None:
    net = twin(SMALL, SHAPES, 10, Equivalent("per-frame", 6, 6)).eval()
    alone = [net({"image": INPUTS["image"], "audio": INPUTS["audio"][:, f : f + 1]}) for f in range(6)]
    torch.testing.assert_close(net(INPUTS), torch.stack(alone).mean(0))
    counts = count_ann(net, lambda: net(INPUTS), 2)
    assert {layer.passes for layer in counts.layers} == {6}
    assert set(net.runs_per_sample(6).values()) == {6}
    with pytest.raises(UsageError, match="no sequence"):
        twin(SMALL.model_copy(update={"modality": "image"}), SHAPES, 10, Equivalent("per-frame"))


@pytest.mark.parametrize("modality", ["both", "image", "audio"])
def test_the_matched_twin_comes_near_its_macs(modality) -> None:
    params = AvDigitsParams(channels=(8, 16), audio=(96,), modality=modality)
    names = ("image", "audio") if modality == "both" else (modality,)
    inputs = {name: INPUTS[name] for name in names}
    wanted = 3 * twin_macs(params, SHAPES, 10, 6)
    net = twin(params, SHAPES, 10, Equivalent("matched", 6, 6, wanted)).eval()
    assert count_ann(net, lambda: net(inputs), 2).macs == pytest.approx(wanted, rel=0.15)
    plain = twin(params, SHAPES, 10).eval()
    assert count_ann(plain, lambda: plain(inputs), 2).macs == twin_macs(params, SHAPES, 10, 6)


def test_recipes_say_which_twin() -> None:
    net = build_network(load_recipe("av-digits", ["kind=ann", "twin.kind=quantised"]))
    assert net.core.fuse.steps == 31
    for settings, match in (
        (["twin.kind=quantised"], "kind is snn"),
        (["kind=ann", "twin.kind=matched"], r"twin\.macs"),
        (["kind=ann", "twin.macs=5"], r"twin\.macs"),
        (["kind=ann", "twin.kind=best"], r"twin\.kind"),
    ):
        with pytest.raises(UsageError, match=match):
            load_recipe("av-digits", settings)
