"""The residual blocks against their equations, and the sizes of the whole nets.

Shapes: T time, B batch, C channels, H and W the picture's sides.
"""

from __future__ import annotations

from typing import get_args

import pytest
import snntorch
import torch
from l2act_nets import draws, network, params
from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.models.folded import fold
from spikeport.models.l2act.blocks import BLOCKS
from spikeport.models.l2act.build import build
from spikeport.models.l2act.encoders import feature_shape, make_net
from spikeport.models.l2act.params import Block, L2ActParams

T, BETA, THETA = 5, 0.5, 0.4
KINDS = get_args(Block)


def leaky(reset: str = "zero") -> nn.Module:
    return snntorch.Leaky(beta=BETA, threshold=THETA, init_hidden=True, reset_mechanism=reset)


def lif(x_TB: Tensor) -> Tensor:
    """`v = beta (1 - s) v + x`, `s = v > theta`, written out."""
    v, spikes = torch.zeros_like(x_TB[0]), []
    for x in x_TB:
        v = BETA * v + x
        spikes.append((v > THETA).float())
        v = v * (1 - spikes[-1])
    return torch.stack(spikes)


def over_time(layer: nn.Module, x_TB: Tensor) -> Tensor:
    return torch.stack([layer(x) for x in x_TB])


def block_by_hand(kind: Block, block: nn.Module, x_TB: Tensor) -> Tensor:
    """The equations of `spikeport.models.l2act.blocks`, with the block's own weights."""
    bn1, bn2 = block.first[:2], block.second[:2]  # type: ignore[index]
    short = block.shortcut
    if kind == "membrane-shortcut":
        s = lif(x_TB)
        inner = over_time(bn2, lif(over_time(bn1, s)))
        return inner + (x_TB if isinstance(short, nn.Identity) else over_time(short, s))  # type: ignore[arg-type]
    s = lif(over_time(bn1, x_TB))
    if kind == "act-after-add":
        return lif(over_time(bn2, s) + over_time(short, x_TB))  # type: ignore[arg-type]
    inner = lif(over_time(bn2, s))
    if isinstance(short, nn.Identity):
        return inner + x_TB
    projected = over_time(short[:2], x_TB)  # type: ignore[index]
    return inner + (lif(projected) if kind == "sew" else projected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("after", "stride"), [(3, 1), (5, 2)])
def test_a_block_is_its_equation(kind: Block, after: int, stride: int) -> None:
    torch.manual_seed(2)
    block = BLOCKS[kind](3, after, stride, leaky)
    with torch.no_grad():
        for _ in range(5):
            fold(block.train(), [torch.rand(T, 8, 3, 6, 6)])
        x_TB = (torch.rand(T, 4, 3, 6, 6) < 0.5).float() if kind != "membrane-shortcut" else torch.randn(T, 4, 3, 6, 6)
        got = fold(block.eval(), [x_TB])
        expected = block_by_hand(kind, block, x_TB)
    assert isinstance(got, Tensor)
    assert 0 < float((got > 0).float().mean()) < 1
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_values_that_a_block_passes_on(kind: Block) -> None:
    """Act-after-add is binary, SEW counts, the others pass real values: what decides whether a chip takes it."""
    torch.manual_seed(0)
    blocks = nn.Sequential(BLOCKS[kind](2, 4, 2, leaky), BLOCKS[kind](4, 4, 1, leaky))
    with torch.no_grad():
        y = fold(blocks, [(torch.rand(T, 8, 2, 8, 8) < 0.5).float()])
    assert isinstance(y, Tensor)
    values = set(y.unique().tolist())
    if kind == "act-after-add":
        assert values == {0.0, 1.0}
    elif kind == "sew":
        assert values <= {0.0, 1.0, 2.0, 3.0}
        assert max(values) > 1
    else:
        assert not values <= set(map(float, range(8)))


def test_full_size_has_the_parameters_computed_elsewhere() -> None:
    """A ResNet-18 for small pictures with a head of 10 has 11,173,962 parameters, 10 of them the head's bias."""
    net = build(L2ActParams(head_bias=True, heads=True), {"visual": (3, 32, 32), "audio": (1, 64, 64)}, 10)
    count = {name: sum(p.numel() for p in module.parameters()) for name, module in net.named_modules()}
    assert count["encoders.visual"] + count["readout.visual"] == 11_173_962
    # Its fully connected layer has a batch norm's 2 x 128 in place of 128 biases.
    assert count["encoders.audio"] + count["readout.audio"] == 110_698 + 128
    assert count["fusion"] + count["readout.fused"] == 166_666


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_those_that_the_nets_give(kind: Block) -> None:
    p = params(
        visual={"block": kind, "stages": [{"channels": 3, "blocks": 1}, {"channels": 4, "stride": 2}], "stem": 2}
    )
    for side, shape in (("visual", (2, 17, 16)), ("audio", (1, 9, 7)), ("audio", (5,))):
        step = make_net(p, side, shape, leaky)  # type: ignore[arg-type]
        y = fold(step, [torch.zeros(2, 3, *shape)])
        assert isinstance(y, Tensor)
        assert y.shape[2:] == feature_shape(p, side, shape)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("side", "shape", "said"),
    [
        ("visual", (8,), "needs 3 axes"),
        ("audio", (4, 4), "needs 1 or 3 axes"),
        ("audio", (1, 1, 1), "1 halvings leave nothing"),
    ],
)
def test_inputs_of_another_form_are_refused(side: str, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build(params(modality=side), {side: shape}, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_folded_is_stepwise(kind: Block, reset: str) -> None:
    net = network(visual=params().visual.model_copy(update={"block": kind}).model_dump(), reset=reset)
    inputs = draws(net)
    with torch.no_grad():
        stepwise, folded = net.tensors(inputs), net.tensors(inputs, folded=True)
    for name, value in stepwise.items():
        torch.testing.assert_close(folded[name], value, msg=name)
    assert float(stepwise["hidden"].mean()) > 0.01
