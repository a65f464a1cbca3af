"""The twin's MACs: border-exact, per pass, with and without zeros."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikeport.benchmarks.counting.ann import count_ann
from spikeport.benchmarks.counting.layers import AnnCounts, DenseLayer
from spikeport.benchmarks.counting.network import ann_block
from spikeport.errors import UnfaithfulError, UsageError


def twin() -> nn.Sequential:
    """The facts file's twin: padded 132,608 MAC, border-exact 112,064."""
    return nn.Sequential(
        nn.Conv2d(2, 8, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, groups=4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 10),
    ).eval()


def test_facts_twin():
    torch.manual_seed(0)
    model, x = twin(), torch.rand(3, 2, 16, 16)
    x[:, 1] = 0
    counts = count_ann(model, lambda: model(x), samples=3)
    assert counts.macs == 112_064
    assert [layer.passes for layer in counts.layers] == [1, 1, 1, 1]
    assert counts.layers[0].nonzero_macs == 3 * 87_616 // 2, "half of the input is zero"
    block = ann_block(counts)
    assert block.totals.dense_macs == 3 * 112_064
    assert block.per_sample.spikes is None
    assert "no spikes" in block.missing["spikes"]
    assert block.per_sample.synops_mac == block.totals.synops_mac / 3
    assert [n.name for n in block.not_counted] == ["0", "3", "5", "8"]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_nonzero_macs_equal_the_adjoint_of_the_binary_input():
    """Truth by the layer itself: ones for weights, the input's support as input, summed."""
    torch.manual_seed(0)
    for layer, shape in (
        (nn.Conv2d(4, 6, (3, 2), (2, 1), "valid", 2, 2), (4, 9, 8)),
        (nn.Conv2d(2, 2, 4, padding="same"), (2, 7, 6)),
        (nn.Conv1d(3, 6, 3, 2, 1, groups=3), (3, 10)),
        (nn.Linear(5, 7), (5,)),
    ):
        x = torch.relu(torch.randn(3, *shape))
        model = nn.Sequential(layer).eval()
        counts = count_ann(model, lambda m=model, x=x: m(x), samples=3)
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
        assert counts.layers[0].nonzero_macs == int(layer((x != 0).float()).sum().round())
        assert counts.layers[0].macs == int(layer(torch.ones(1, *shape)).sum().round())


def test_per_frame_layers_run_once_a_frame():
    model = nn.Sequential(nn.Linear(4, 3)).eval()
    counts = count_ann(model, lambda: model(torch.ones(2, 5, 4)), samples=2)
    assert (counts.layers[0].passes, counts.macs) == (5, 60)


def test_products_that_no_layer_does_are_listed_with_their_number():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.conv = nn.Linear(4, 4, bias=False), nn.Conv2d(1, 2, 3, padding=1)
            self.w = nn.Parameter(torch.ones(4, 5))

        def forward(self, x):
            return self.conv((self.q(x) @ x.mT).unsqueeze(1)), x @ self.w

    model = Attends().eval()
    counts = count_ann(model, lambda: [model(torch.ones(2, 3, 4)) for _ in range(2)], samples=4)
    assert counts.not_counted["functional products"].startswith(f"{3 * 3 * 4 + 3 * 4 * 5} multiply-accumulates")
    plain = nn.Sequential(nn.Conv2d(2, 4, 3, 2, 1, groups=2), nn.Flatten(), nn.Linear(16, 3)).eval()
    assert "functional products" not in count_ann(plain, lambda: plain(torch.ones(3, 2, 4, 4)), samples=3).not_counted


def test_what_is_not_seen_is_listed():
    model = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "idle": nn.Linear(2, 2), "gru": nn.GRU(2, 2)}).eval()
    counts = count_ann(model, lambda: model["a"](torch.ones(1, 2)), samples=1)
    assert counts.not_counted == {"idle": "it never ran", "gru": "GRU is no Linear, Conv1d or Conv2d"}


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: (nn.Linear(2, 2).train(), 1), "training mode"),
        (lambda: (nn.Linear(2, 2).eval(), 2), "3 rows for 2 samples"),
    ],
)
def test_refusals(make, match):
    model, samples = make()
    with pytest.raises(UsageError, match=match):
        count_ann(model, lambda: model(torch.ones(3, 2)), samples)


def test_padding_that_copies_inputs_is_refused():
    model = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular").eval()
    with pytest.raises(UnfaithfulError, match="circular"):
        count_ann(model, lambda: model(torch.ones(1, 1, 4, 4)), 1)


def test_unseen_activations_are_missing_not_zero():
    block = ann_block(AnnCounts(4, (DenseLayer.linear("readout", 128, 10),)))
    assert block.per_sample.synops_mac is None
    assert block.per_sample.dense_macs == 1280
    assert "not recorded" in block.missing["synops_mac"]
