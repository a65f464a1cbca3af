"""Counts of running torch models against an independent event walk, and by hand."""

from __future__ import annotations

import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from torch import nn
from torch_nets import Stepped, brute, by_layer, count, facts_net, leaky, spikes

from spikeport.benchmarks.counting.torch_counter import SpikeCounter
from spikeport.errors import UnfaithfulError, UsageError
from spikeport.models.state import reset_state

CASES = {
    "A spikes": (nn.MaxPool2d, lambda s: spikes(*s)),
    "B average pool": (nn.AvgPool2d, lambda s: spikes(*s)),
    "C analog": (nn.MaxPool2d, lambda s: torch.randn(s)),
    "D counts": (nn.MaxPool2d, lambda s: torch.poisson(torch.full(s, 0.1))),
    "E signed": (nn.MaxPool2d, lambda s: spikes(*s) * torch.randint(0, 2, s).mul(2).sub(1)),
}


@pytest.mark.parametrize("case", CASES)
def test_facts_cases_match_the_event_walk(case):
    torch.manual_seed(1)
    pool, draw = CASES[case]
    model, x = facts_net(pool), draw((2, 3, 2, 16, 16))
    counts = count(model, x)
    assert by_layer(counts) == brute(model, x)
    assert counts.synops_ac > 1000
    assert counts.dense_macs == 2 * 3 * 112_064, "the facts file's figure per step"
    assert counts.neuron_updates == 2 * 3 * 2_570
    if case.startswith("B"):
        assert counts.layers["layers.3"].mac > 0, "a pooled value is graded"


def test_case_f_pruned_by_choice():
    torch.manual_seed(2)
    model, x = facts_net(), spikes(2, 3, 2, 16, 16)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("weight"):
                p[torch.rand_like(p) < 0.5] = 0
    everything, present = count(model, x), count(model, x, nonzero_weights_only=True)
    assert by_layer(everything) == brute(model, x)
    assert by_layer(present) == brute(model, x, nonzero_only=True)
    assert 0 < present.synops_ac < 0.6 * everything.synops_ac
    assert everything.weight_sparsity == pytest.approx(0.5, abs=0.02)


def test_totals_do_not_depend_on_batch_or_order():
    """Also for neurons inside a nested Sequential, which `snntorch.utils.reset` leaves as they are."""
    torch.manual_seed(3)
    model, x = facts_net(nn.AvgPool2d), spikes(32, 4, 2, 16, 16)
    whole = count(model, x)
    for size in (1, 4):
        assert count(model, *x.split(size)) == whole
    assert count(model, x[torch.randperm(32)]) == whole
    assert count(model, x, x).synops_ac == 2 * whole.synops_ac


def test_by_step_and_by_sample_sum_to_the_totals():
    torch.manual_seed(4)
    model, x = facts_net(nn.AvgPool2d), spikes(6, 5, 2, 16, 16)
    counts = count(model, x[:4], x[4:], by_step=True, by_sample=True)
    assert by_layer(counts) == by_layer(count(model, x))
    for layer in counts.layers.values():
        assert len(layer.by_step) == 5
        assert len(layer.by_sample) == 6
        for parts in (layer.by_step, layer.by_sample):
            assert tuple(map(sum, zip(*parts, strict=True))) == (layer.ac, layer.mac)
    one = count(model, x[5:])
    assert [c.by_sample[5] for c in counts.layers.values()] == [(c.ac, c.mac) for c in one.layers.values()]
    for name, neuron in counts.neurons.items():
        assert (len(neuron.by_step), len(neuron.by_sample)) == (5, 6)
        assert sum(neuron.by_step) == sum(neuron.by_sample) == neuron.spikes > 0
        assert neuron.by_sample[5] == one.neurons[name].spikes
    assert one.neurons["layers.1"].by_step is None


def test_spikes_by_step_and_sample_by_hand():
    """Thresholds that the input passes in known steps."""
    neurons = snn.Leaky(beta=0.0, reset_mechanism="none", init_hidden=True)
    model = Stepped(nn.Linear(2, 2, bias=False), neurons).eval()
    with torch.no_grad():
        model.layers[0].weight.copy_(torch.eye(2))
    x = torch.zeros(3, 4, 2)
    x[0, 1] = torch.tensor([2.0, 2.0])
    x[2, 1, 0] = x[2, 3, 1] = 5.0
    counts = count(model, x, by_step=True, by_sample=True).neurons["layers.1"]
    assert counts.by_step == (0, 3, 0, 1)
    assert counts.by_sample == (2, 0, 2)


def test_products_by_step_and_sample():
    class Attention(nn.Module):
        def forward(self, x_BTNK):
            return torch.stack([(x @ x.mT) @ x for x in x_BTNK.unbind(1)], 1)

    torch.manual_seed(4)
    x = spikes(4, 3, 5, 6)
    counts = count(Attention().eval(), x, by_step=True, by_sample=True)
    (name,) = counts.layers
    layer = counts.layers[name]
    assert len(layer.by_step) == 2 * 3, "two products a step"
    alone = [count(Attention().eval(), x[i : i + 1]).layers[name] for i in range(4)]
    assert layer.by_sample == tuple((c.ac, c.mac) for c in alone)
    assert tuple(map(sum, zip(*layer.by_step, strict=True))) == (layer.ac, layer.mac)

    class Heads(nn.Module):
        def forward(self, x_BTNK):
            return x_BTNK @ x_BTNK.mT

    with pytest.raises(UnfaithfulError, match=r"first axis has 12 elements where the batch has 4"):
        count(Heads().eval(), x, by_sample=True)


def test_a_layer_that_first_runs_later_did_nothing_before():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            return self.layer(x) if x.sum() > 0 else x

    counts = count(Late().eval(), torch.zeros(2, 3), torch.ones(1, 3), by_sample=True)
    assert counts.layers["layer"].by_sample == ((0, 0), (0, 0), (6, 0))


def test_counting_changes_no_result_and_leaves_no_hook():
    torch.manual_seed(5)
    model, x = facts_net(), spikes(2, 4, 2, 16, 16)
    with torch.no_grad():
        reset_state(model)
        plain = model(x)
        with SpikeCounter(model) as counter:
            counter.start(2)
            assert torch.equal(model(x), plain)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    before = counter.counts()
    model(x)
    assert counter.counts() == before


def test_spikes_state_traffic_and_footprint_by_hand():
    torch.manual_seed(6)
    model = Stepped(nn.Linear(8, 5), leaky(), nn.Linear(5, 3), leaky()).eval()
    x = spikes(4, 7, 8, p=0.5)
    counts = count(model, x)
    reset_state(model)
    fired = model(x)
    last = counts.neurons["layers.3"]
    assert last.spikes == int(fired.sum())
    assert (last.neurons, last.updates, last.state) == (3, 4 * 7 * 3, 3)
    assert counts.membrane_traffic == 2 * counts.neuron_updates == 2 * 4 * 7 * 8
    assert counts.parameters == 8 * 5 + 5 + 5 * 3 + 3
    assert counts.state_bytes == 8 * 4, "one sample's, whatever the batch"
    assert count(model, x, x[:1]).footprint_bytes == counts.footprint_bytes
    assert counts.activation_sparsity == 1 - counts.spikes / (4 * 7 * 8)
    assert "layers.0.bias" in counts.not_counted


def test_half_precision_is_exact():
    """More events than a half or single float can hold one by one."""
    model = nn.Linear(8, 4, bias=False).eval().to(torch.bfloat16)
    x = torch.ones(5000, 8, dtype=torch.bfloat16)
    assert count(model, *[x] * 3).synops_ac == 3 * 5000 * 32
    tally_rows = 2**24 + 3
    wide = nn.Linear(1, 1, bias=False).eval()
    assert count(wide, torch.ones(tally_rows, 1), torch.ones(5, 1)).synops_ac == tally_rows + 5


def test_autocast_leaves_the_counts_exact():
    """bfloat16 sums would stop at 256."""
    model = nn.Sequential(nn.Linear(4, 3), leaky(), nn.Linear(3, 2)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert count(model, torch.ones(3000, 4)).layers["0"].ac == 3000 * 4 * 3


def test_a_spike_tensor_changed_in_place_is_counted_as_it_is():
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif, self.fc = leaky(threshold=0.0), nn.Linear(6, 2)

        def forward(self, x):
            s = self.lif(x)
            s[:, :3] *= 0.5
            return self.fc(s)

    counts = count(Masked().eval(), torch.ones(4, 6))
    assert (counts.layers["fc"].ac, counts.layers["fc"].mac) == (4 * 3 * 2, 4 * 3 * 2)
    assert counts.spikes == 24


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_training_scripted_and_unstarted_models_are_refused():
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(UnfaithfulError, match="training mode"):
        SpikeCounter(model)
    model.eval()
    with pytest.raises(UnfaithfulError, match="compiled"):
        SpikeCounter(torch.compile(model))
    with pytest.raises(UsageError, match="no batch was started"), SpikeCounter(model):
        model(torch.ones(1, 2))
    with pytest.raises(UsageError, match="no batch was started"):
        SpikeCounter(model).counts()
    assert F.relu(torch.ones(1)) == 1, "the dispatch mode is gone"


def test_what_others_attach_to_a_known_chain_is_seen():
    """A Sequential of known modules runs unwatched; a hook or a replaced forward may compute anything."""
    model, x = Stepped(nn.Linear(4, 4), leaky(), nn.Linear(4, 2)).eval(), spikes(3, 5, 4, p=0.5)
    alone = count(model, x)
    assert not any("exp" in name for name in alone.not_counted)
    for attach in (nn.Module.register_forward_hook, nn.Module.register_forward_pre_hook):
        handle = attach(model.layers[0], lambda *args: _exp(args))
        assert any(name.endswith("exp") for name in count(model, x).not_counted)
        handle.remove()
    own = model.layers[2].forward
    model.layers[2].forward = lambda x: own(x) + F.linear(x, model.layers[0].weight).sum()
    counts = count(model, x)
    assert counts.layers["layers.0"].dense == 2 * alone.layers["layers.0"].dense
    assert counts.layers["layers.2"] == alone.layers["layers.2"]


def _exp(args) -> None:
    first = args[-1]
    (first[0] if isinstance(first, tuple) else first).exp()


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 1.0, -1.0), (0.0, 1.0, 0.5), (0.0, 1.0, float("inf"))])
def test_views_of_one_tensor_are_asked_once_and_again_after_a_change(values):
    torch.manual_seed(7)
    x = torch.tensor(values)[torch.randint(0, len(values), (6, 4, 5))]
    model = nn.Linear(5, 3).eval()

    def run(x):
        for t in range(4):
            model(x[:, t])

    for _ in range(2):
        counts = count(model, x, run=run)
        unit = int((x.abs() == 1).sum())
        assert (counts.synops_ac, counts.synops_mac) == (3 * unit, 3 * (int((x != 0).sum()) - unit))
        x[0] *= 0.5


def test_a_layer_keeps_no_tensor_of_the_model():
    """One row's sums are the row itself, unless they are copied."""
    model, x = nn.Linear(3, 2).eval(), torch.ones(1, 3)
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(1)
        model(x)
        x.zero_()
    assert counter.counts().synops_ac == 6


@pytest.mark.parametrize(
    ("rows", "neurons"),
    [
        pytest.param(4, 8, id="a row a sample"),
        pytest.param(12, 24, id="three rows a sample, each with membranes of its own"),
        pytest.param(3, 8, id="some of the samples"),
        pytest.param(6, 8, id="no whole samples"),
    ],
)
def test_neurons_are_the_membranes_of_one_sample(rows, neurons):
    model = leaky().eval()
    found = count(model, torch.ones(4, 8), run=lambda x: model(x[:1].expand(rows, 8))).neurons["Leaky"]
    assert (found.neurons, found.state, found.updates) == (neurons, neurons, rows * 8)


def test_the_neurons_of_one_sample_without_a_batch_axis():
    model = leaky().eval()
    with torch.no_grad(), SpikeCounter(model) as counter:
        counter.start(1)
        model(torch.ones(8))
    assert counter.counts().neurons["Leaky"].neurons == 8
