"""Products with weights that are made of others: what they cost is what a layer of these very weights costs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch_nets import count, spikes

from spikeport.benchmarks.counting.torch_counter import SpikeCounter
from spikeport.errors import UnfaithfulError


class Calls(nn.Module):
    """A Linear without bias that applies what `how` makes of the weights `w` [5, 4], `a` [5, 2] and `b` [2, 4]."""

    def __init__(self, how) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.w, self.a, self.b = (nn.Parameter(torch.randn(s)) for s in ((5, 4), (5, 2), (2, 4)))
        self.how = how

    def forward(self, x):
        return self.how(x, self)


def ternary(w):
    return torch.where(w.abs() < 0.7, 0.0, w.sign())


MADE = {
    "ternary": lambda m: ternary(m.w),
    "masked": lambda m: m.w * (m.w.abs() > 0.7),
    "scaled": lambda m: m.w * torch.tensor(0.5),
    "low rank": lambda m: m.w + m.a @ m.b,
    "a view of it": lambda m: torch.cat([m.w, m.w])[:5] * 1.0,
}
APPLIED = {
    "linear": lambda x, w: F.linear(x, w),
    "mm": lambda x, w: x @ w.t(),
    "left": lambda x, w: (w @ x.t()).t(),
    "mv": lambda x, w: torch.stack([w.mv(row) for row in x]),
    "addmv": lambda x, w: torch.stack([torch.addmv(torch.ones(5), w, row) for row in x]),
    "dot": lambda x, w: torch.stack([torch.stack([row.dot(v) for v in w.unbind()]) for row in x]),
    "bmm": lambda x, w: torch.bmm(x[None], w.t()[None]),
    "baddbmm": lambda x, w: torch.baddbmm(torch.zeros(1), x[None], w.t()[None]),
    "conv": lambda x, w: F.conv1d(x[:, :, None], w[:, :, None]),
}


def plain(weight: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(*weight.shape[::-1], bias=False)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer.eval()


def totals(counts):
    layers = counts.layers.values()
    return {name: sum(getattr(c, name) for c in layers) for name in ("events", "ac", "mac", "dense")}


def stored(counts):
    return [(c.weights, c.zero_weights) for c in counts.layers.values()]


@pytest.mark.parametrize("only", [False, True])
@pytest.mark.parametrize("kind", ["spikes", "graded"])
@pytest.mark.parametrize("applied", APPLIED)
@pytest.mark.parametrize("made", MADE)
def test_a_derived_weight_counts_as_a_plain_one(made, applied, kind, only):
    torch.manual_seed(2)
    x = spikes(6, 4, p=0.5) if kind == "spikes" else torch.randn(6, 4)
    model = Calls(lambda x, m: APPLIED[applied](x, MADE[made](m))).eval()
    expected = count(plain(MADE[made](model)), x, nonzero_weights_only=only)
    counts = count(model, x, nonzero_weights_only=only)
    if applied == "dot":
        assert totals(counts) | {"events": 0} == totals(expected) | {"events": 0}, "each dot sees its input anew"
    else:
        assert totals(counts) == totals(expected)
    assert stored(counts) == stored(expected)


@pytest.mark.parametrize("made", MADE)
def test_samples_and_steps_apart(made):
    torch.manual_seed(3)
    x = spikes(6, 4, p=0.5) * 0.5
    model = Calls(lambda x, m: F.linear(x, MADE[made](m))).eval()
    (layer,) = count(model, x, by_sample=True, by_step=True).layers.values()
    (expected,) = count(plain(MADE[made](model)), x, by_sample=True, by_step=True).layers.values()
    assert (layer.by_sample, layer.by_step) == (expected.by_sample, expected.by_step)


class Ternary(nn.Module):
    def forward(self, w):
        return ternary(w)


def test_parametrized_modules_keep_their_name():
    torch.manual_seed(4)
    x = spikes(6, 8, p=0.5)
    for register in (
        lambda m: parametrize.register_parametrization(m, "weight", Ternary()),
        parametrizations.weight_norm,
    ):
        model = nn.Sequential(nn.Linear(8, 5))
        register(model[0])
        counts = count(model.eval(), x)
        assert counts.layers == {"0": count(plain(model[0].weight.detach()), x).layers["Linear"]}


@pytest.mark.parametrize("kind", ["spikes", "graded"])
def test_autocast_counts_as_without(kind):
    """Twice in one context, whose cache holds what the first count saw made."""
    torch.manual_seed(5)
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    own = Calls(lambda x, m: F.linear(x, m.w) + F.linear(x, m.w.double().float())).eval()
    x = spikes(2, 3, 8, p=0.5) if kind == "spikes" else torch.randn(2, 3, 8)
    for net, given in ((model, x), (own, x[..., :4])):
        expected = count(net, given)
        with torch.autocast("cpu", torch.bfloat16):
            net(given)
            for _ in range(2):
                counts = count(net, given)
                assert {n: (c.dense, c.weights) for n, c in counts.layers.items()} == {
                    n: (c.dense, c.weights) for n, c in expected.layers.items()
                }
                first = next(iter(expected.layers))
                assert counts.layers[first] == expected.layers[first]


def test_weights_of_one_place_are_kept_apart():
    """Two kernels of one input, and two strides of one kernel, have maps of their own."""
    x = spikes(6, 4, p=0.5)
    n = int(x.sum())
    for only in (False, True):
        halves = Calls(lambda x, m: (F.linear(x, m.w + m.a @ m.b), F.linear(x, (m.b + 0) * m.a.sum())))
        counts = count(halves.eval(), x, nonzero_weights_only=only)
        assert (counts.synops_ac, counts.dense_macs) == (n * (5 + 2), 6 * 4 * (5 + 2))
        assert sum(c.weights for c in counts.layers.values()) == 20 + 8

        signs = Calls(lambda x, m: F.linear(x, m.w.relu()) - F.linear(x, (-m.w).relu())).eval()
        counts = count(signs, x, nonzero_weights_only=only)
        assert counts.synops_ac == n * 5 if only else 2 * n * 5, "each weight is of one sign"

        strides = Calls(
            lambda x, m: (F.conv1d(x[:, None], m.b[:1, None, :2]), F.conv1d(x[:, None], m.b[:1, None, :2], stride=2))
        )
        counts = count(strides.eval(), x, nonzero_weights_only=only)
        assert (counts.dense_macs, stored(counts)) == (6 * (3 * 2 + 2 * 2), [(2, 0)])


def test_attention_to_something_else():
    """The packed weights of queries, and of keys and values, are applied by two products of different size."""

    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mha = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            memory = x[:, :2] * 1.0
            return self.mha(x, memory, memory)[0]

    counts = count(Cross().eval(), torch.randn(2, 3, 8))
    packed = counts.layers["mha.in_proj_weight"]
    assert (packed.dense, packed.mac, packed.weights) == (2 * (3 + 2 * 2) * 64, 2 * (3 + 2 * 2) * 64, 3 * 64)


def test_an_expanded_weight_is_stored_once():
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(2, 16, 8))
            with torch.no_grad():
                self.w[0, :3] = 0

        def forward(self, x):
            return x.view(4, 1, 1, 16) @ self.w

    counts = count(Heads().eval(), torch.ones(4, 16))
    assert {n: (c.dense, c.weights, c.zero_weights) for n, c in counts.layers.items()} == {"w": (1024, 256, 24)}
    with pytest.raises(UnfaithfulError, match="8 products at once"):
        count(Heads().eval(), torch.ones(4, 16), by_sample=True)


def test_a_copy_that_activations_are_written_into_is_no_weight():
    """Also where they go into a part of it."""

    class Fills(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(4, 4))

        def forward(self, x):
            copied, out = self.w * 1.0, self.w * 1.0
            copied[:, 0] = x[0]
            torch.mul(x[:, :1], self.w, out=out)
            return x @ copied + x @ out + x @ self.w

    counts = count(Fills().eval(), torch.ones(4, 4))
    assert {n: c.weights for n, c in counts.layers.items()} == {"Fills:mm": 0, "w": 16}
    assert counts.layers["Fills:mm"].dense == 2 * 64


def test_memory_that_is_used_again_is_no_constant():
    class Loops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(32, 32))

        def forward(self, x):
            for _ in range(20):
                (self.w * 2).sum()
                y = x * 1.0
                x = (y @ y.mT).clamp(max=1)
            return x

    counts = count(Loops().eval(), torch.ones(32, 32))
    assert {n: (c.rows, c.weights) for n, c in counts.layers.items()} == {"Loops:mm": (20 * 32, 0)}


def test_the_source_of_a_derived_weight_may_not_change_under_its_map():
    model = Calls(lambda x, m: F.linear(x, ternary(m.w))).eval()
    with torch.no_grad(), SpikeCounter(model, nonzero_weights_only=True) as counter:
        counter.start(1)
        model(torch.ones(1, 4))
        model.w.mul_(2)
        with pytest.raises(UnfaithfulError, match=r"layer 'w'.*weights changed"):
            counter.start(1)


def test_one_weight_for_a_batch_of_products_is_a_layer_of_more_rows():
    """Autocast, and what expands it, hand it over so."""
    torch.manual_seed(6)
    x = spikes(6, 3, 4, p=0.5)
    model = Calls(lambda x, m: torch.bmm(x, m.w.t().expand(len(x), 4, 5))).eval()
    (layer,) = count(model, x, by_sample=True).layers.values()
    assert layer == count(plain(model.w), x, by_sample=True).layers["Linear"]
