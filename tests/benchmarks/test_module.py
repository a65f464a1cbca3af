"""Any torch model into `results.json`: the counter's totals, by hand, and every report from them."""

from __future__ import annotations

import pytest
import snntorch
import torch
from torch import nn

from spikeport.benchmarks.counting.model_block import model_block
from spikeport.benchmarks.counting.torch_counter import SpikeCounter
from spikeport.benchmarks.module import benchmark_module
from spikeport.benchmarks.neurobench_file import neurobench
from spikeport.benchmarks.report import render_html, render_markdown, render_table
from spikeport.benchmarks.results import read_results, write_results
from spikeport.errors import UnfaithfulError, UsageError

T = 3


class Net(nn.Module):
    """Each of 4 inputs to 2 neurons of threshold 0.5 without leak; the first weight is 0, the others 1."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2, bias=False)
        self.lif = snntorch.Leaky(beta=0.0, threshold=0.5, init_hidden=True, reset_mechanism="zero")
        with torch.no_grad():
            self.fc.weight.fill_(1)
            self.fc.weight[0, 0] = 0

    def forward(self, x_TBN: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.lif(self.fc(x)) for x in x_TBN]).sum(0)


def samples() -> torch.Tensor:
    """Two samples: one spike at step 0, and a graded 0.25 and a spike at step 2."""
    x = torch.zeros(T, 2, 4)
    x[0, 0, 0] = x[2, 1, 2] = 1
    x[2, 1, 3] = 0.25
    return x


def test_counts_and_accuracy_by_hand(tmp_path):
    """Sample 0 makes neuron 1 fire alone (its weight 0 is neuron 0's), sample 1 both."""
    x = samples()
    batches = [(x[:, i : i + 1], torch.tensor([1])) for i in (0, 1)]
    results = benchmark_module(Net().eval(), batches, "net", "by hand", timesteps=T)
    (row,) = results.rows
    totals = row.counts.totals
    assert (totals.spikes, totals.synops_ac, totals.synops_mac) == (3, 2 * 2, 2)
    assert totals.dense_macs == 4 * 2 * T * 2
    assert totals.neuron_updates == 2 * T * 2
    assert totals.state_accesses == 2 * totals.neuron_updates
    assert totals.crossings_to_chip is None
    assert "one place" in row.counts.missing["crossings_to_chip"]
    assert row.counts.weight_sparsity == 1 / 8
    assert row.counts.activation_sparsity == 1 - 3 / 12
    assert (row.counts.per_node["fc"].events, row.counts.per_node["lif"].rate) == (1.5, 0.25)
    assert row.footprint.parameters == 8
    assert row.footprint.state_bytes == 2 * 4
    assert row.accuracy.value == 0.5, "sample 1's neurons tie, and the first wins"
    together = benchmark_module(Net().eval(), [(x, torch.tensor([1, 1]))], "net", "by hand", timesteps=T)
    assert together.rows == results.rows, "the batch changes nothing"

    write_results(results, tmp_path / "r.json")
    assert read_results(tmp_path / "r.json") == results
    render_table(results)
    assert "lif" in render_markdown(results)
    assert "by hand" in render_html(results)
    assert neurobench(results, row)["SynapticOperations"]["Effective_ACs"] == 2


def test_a_product_of_activations_has_no_events_and_no_weights():
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = snntorch.Leaky(beta=0.5, threshold=0.5, init_hidden=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = self.lif(x)
            return z @ z.transpose(1, 2)

    with SpikeCounter(Product().eval()) as counter, torch.no_grad():
        counter.start(2)
        counter.model(torch.ones(2, 3, 4))
    block = model_block(counter.counts())
    (node,) = [n for n in block.per_node.values() if n.kind == "synapses"]
    assert node.events is None
    assert node.synops_ac == 3 * 3 * 4
    assert block.weight_sparsity is None
    assert block.missing["weight_sparsity"] == "no layer stores weights"


def test_a_model_without_neurons_has_null_spikes():
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    results = benchmark_module(net, [(torch.rand(5, 4), torch.zeros(5, dtype=torch.long))], "mlp", "random")
    (row,) = results.rows
    assert row.kind == "ann"
    assert row.counts.totals.spikes is None
    assert row.counts.missing["spikes"]
    assert "mlp" in render_html(results)


class MyLeaky(snntorch.Leaky):
    """A neuron of the user's, of which nothing is known."""


@pytest.mark.parametrize("known", [False, True])
def test_an_unknown_neuron_makes_what_neurons_did_null(known, tmp_path):
    options = {"beta": 0.5, "init_hidden": True}
    layers = [nn.Linear(4, 3), MyLeaky(**options), nn.Linear(3, 2)]
    layers += [snntorch.Leaky(**options)] if known else []
    batches = [(torch.ones(5, 4), torch.zeros(5, dtype=torch.long))]
    results = benchmark_module(nn.Sequential(*layers).eval(), batches, "mine", "ones")
    (row,) = results.rows
    assert row.kind == "snn"
    for figure in ("spikes", "neuron_updates", "state_accesses"):
        assert getattr(row.counts.totals, figure) is getattr(row.counts.per_sample, figure) is None
        assert "no rule counts the neurons '1'" in row.counts.missing[figure]
    assert row.counts.activation_sparsity is None
    assert "'1'" in row.counts.missing["activation_sparsity"]
    assert row.footprint is None
    assert "'1'" in row.missing["footprint"]
    assert ("3" in row.counts.per_node) is known, "the others keep their own figures"
    assert row.counts.totals.dense_macs == 5 * (4 * 3 + 3 * 2)
    write_results(results, tmp_path / "r.json")
    assert read_results(tmp_path / "r.json") == results
    assert "mine" in render_html(results)
    render_table(results)
    assert render_markdown(results)
    assert neurobench(results, row)


def test_an_unknown_neuron_that_never_runs_hides_nothing():
    class Skips(Net):
        def __init__(self) -> None:
            super().__init__()
            self.idle = MyLeaky(beta=0.5)

    (row,) = benchmark_module(Skips().eval(), [(samples(), torch.ones(2).long())], "net", "by hand").rows
    assert row.counts.totals.spikes == 3


def test_a_neuron_without_state_needs_no_reset():
    class Window(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.neuron = snntorch.StateLeaky(beta=0.9, channels=4)

        def forward(self, x_TBN: torch.Tensor) -> torch.Tensor:
            return self.neuron(x_TBN)[0].sum(0)

    (row,) = benchmark_module(Window().eval(), [(samples(), torch.zeros(2).long())], "net", "by hand").rows
    assert row.counts.totals.spikes is None
    assert any(n.name == "neuron" and "no known neuron" in n.reason for n in row.counts.not_counted)


def test_a_neuron_of_ones_own_that_nobody_can_reset_is_refused():
    class Own(snntorch.SpikingNeuron):
        pass

    with pytest.raises(UnfaithfulError, match="cannot be reset"):
        benchmark_module(nn.Sequential(Own()).eval(), [(samples(), torch.zeros(2).long())], "net", "by hand")


def scores(values):
    return lambda x: torch.tensor(values)


HALF = [[0.0, 1.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("labels", "answer", "reason"),
    [
        (torch.tensor([[0], [1]]), scores(HALF), r"labels \[2, 1\].*no tensor \[B\]"),
        (torch.eye(2).long(), scores(HALF), r"labels \[2, 2\].*argmax"),
        (torch.tensor(1), scores(HALF), r"labels \[\].*no tensor"),
        ([0, 1], scores(HALF), "labels list"),
        (torch.tensor([0.0, 1.0]), scores(HALF), r"float32: a class is a whole number"),
        (torch.tensor([True, False]), scores(HALF), r"labels\.long"),
        (torch.tensor([0, 2]), scores(HALF), "labels 0 to 2: model 'net' has scores of 2 classes, 0 to 1"),
        (torch.tensor([-1, 1]), scores(HALF), "labels -1 to 1"),
        (torch.tensor([0, 1]), scores([[0.0, torch.nan], [0.0, 1.0]]), "NaN, which is no score"),
        (torch.tensor([0, 1, 1]), scores(HALF), r"answers with \[2, 2\] for 3 labels"),
        (torch.tensor([0, 1]), lambda x: (torch.tensor(HALF), None), "answers with a tuple"),
        (torch.tensor([0, 1]), scores([[], []]), "0 classes"),
        (torch.zeros(0).long(), scores(HALF), "at least one"),
    ],
)
def test_labels_and_scores_that_say_nothing_are_refused(labels, answer, reason):
    with pytest.raises(UsageError, match=reason):
        benchmark_module(Net().eval(), [(samples(), labels)], "net", "by hand", answer=answer)


def test_no_sample_is_refused():
    with pytest.raises(UsageError, match="data 'nothing': there is no sample"):
        benchmark_module(Net().eval(), [], "net", "nothing")
