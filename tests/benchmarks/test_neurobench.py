"""Our networks under NeuroBench's own harness, figure by figure: equal where it is right, and where it is not.

The harness runs in an isolated environment. On binary spikes its counts are exact, and ours must be the same numbers;
each test of the second half asserts one case in which its figure is wrong and ours is not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import spikeport
from spikeport.benchmarks.counting.torch_counter import SpikeCounter
from spikeport.benchmarks.neurobench import ForNeuroBench
from spikeport.benchmarks.suites.counting import PeerEnvironment
from spikeport.errors import UnavailableError, UsageError
from spikeport.models.network import core_network

FOLDER = Path(__file__).parent / "neurobench_peer"
sys.path.insert(0, str(FOLDER))

import peer_nets as nets  # noqa: E402 - both sides import it from this folder

CASES = {
    **{f"spikes/{batch}": {"net": "core", "data": "spikes", "batch": batch} for batch in (1, 3, 8)},
    "readout": {"net": "readout", "data": "spikes", "batch": 8},
    "pruned": {"net": "core", "data": "spikes", "batch": 4, "pruned": 0.5},
    **{f"events/{batch}": {"net": "core", "data": "event_counts", "batch": batch} for batch in (1, 8)},
    "nested": {"net": "nested", "data": "spikes", "batch": 8, "runs": 2},
    "functional": {"net": "functional", "data": "spikes", "batch": 8},
    "transposed": {"net": "transposed", "data": "spikes", "batch": 8},
    "recurrent": {"net": "recurrent", "data": "spikes", "batch": 8},
    "footprint": {"net": "core", "data": "spikes", "batch": 8, "runs": 2},
    "drop_last": {"net": "core", "data": "spikes", "batch": 3, "drop_last": True, "right": True},
}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("neurobench")
    source = str(Path(spikeport.__file__).parent.parent)
    (folder / "request.json").write_text(json.dumps({"source": source, "cases": CASES}))
    try:
        PeerEnvironment("counting").run(FOLDER / "worker.py", folder)
    except UnavailableError as error:
        pytest.skip(f"NeuroBench cannot be installed here: {error}")
    return json.loads((folder / "answer.json").read_text())


def ours(net, x_BTN, **options):
    with SpikeCounter(net, **options) as counter, torch.no_grad():
        counter.start(len(x_BTN))
        if isinstance(net, ForNeuroBench):
            answers_B = net(x_BTN).sum(1).argmax(1)
        else:
            answers_B = torch.stack([net(x_BTN[:, t])[0] for t in range(x_BTN.shape[1])]).sum(0).argmax(1)
    return counter.counts(), answers_B


def operations(counts):
    figures = {"Effective_MACs": counts.synops_mac, "Effective_ACs": counts.synops_ac, "Dense": counts.dense_macs}
    return {key: total / counts.samples for key, total in figures.items()}


@pytest.mark.slow
@pytest.mark.parametrize("case", [*(f"spikes/{batch}" for batch in (1, 3, 8)), "pruned"])
def test_where_neurobench_is_right_ours_are_its_figures(theirs, case):
    network = nets.network(CASES[case].get("pruned", 0.0))
    counts, answers_B = ours(ForNeuroBench(network), nets.spikes(), nonzero_weights_only=True)
    (found,) = theirs[case]
    assert counts.spikes > 100, "a silent network would prove nothing"
    assert {k: v for k, v in found["SynapticOperations"].items() if k != "Dense"} == {
        k: v for k, v in operations(counts).items() if k != "Dense"
    }
    whole, _ = ours(ForNeuroBench(network), nets.spikes())
    assert found["SynapticOperations"]["Dense"] == whole.dense_macs / whole.samples
    assert found["ParameterCount"] == counts.parameters
    assert found["ConnectionSparsity"] == round(counts.weight_sparsity, 4)
    assert found["ClassificationAccuracy"] == pytest.approx(float((answers_B == nets.labels()).float().mean()))
    assert found["ActivationSparsity"] == pytest.approx(counts.activation_sparsity)
    by_layer = {path.rpartition(".")[2]: 1 - n.spikes / n.emitted for path, n in counts.neurons.items()}
    assert found["ActivationSparsityByLayer"] == pytest.approx(by_layer)
    assert found["NeuronOperations"]["Neuron Dense Ops"] == 4 * counts.neuron_updates / counts.samples


@pytest.mark.slow
def test_a_readout_runs_once_over_the_window(theirs):
    """Its inputs are rates, graded in every sample here, so that the split by batch does no harm."""
    counts, answers_B = ours(ForNeuroBench(nets.network(readout=True)), nets.spikes(), nonzero_weights_only=True)
    (found,) = theirs["readout"]
    assert found["SynapticOperations"]["Effective_ACs"] + found["SynapticOperations"]["Effective_MACs"] == (
        (counts.synops_ac + counts.synops_mac) / counts.samples
    )
    assert found["ClassificationAccuracy"] == pytest.approx(float((answers_B == nets.labels()).float().mean()))


@pytest.mark.slow
def test_its_split_of_graded_events_depends_on_the_batch(theirs):
    """It calls a whole layer, step and batch graded where one element is; the sum alone is right."""
    counts, _ = ours(ForNeuroBench(nets.network()), nets.event_counts())
    exact = operations(counts)
    one, eight = (theirs[f"events/{batch}"][0]["SynapticOperations"] for batch in (1, 8))
    assert 0 < exact["Effective_MACs"] < one["Effective_MACs"] < eight["Effective_MACs"]
    for found in (one, eight):
        total = found["Effective_MACs"] + found["Effective_ACs"]
        assert total == exact["Effective_MACs"] + exact["Effective_ACs"]


@pytest.mark.slow
def test_it_does_not_reset_nested_neurons(theirs):
    """The same samples twice: its wrapper finds top-level neurons alone."""
    first, second = (run["SynapticOperations"]["Effective_ACs"] for run in theirs["nested"])
    assert first != second
    net = nets.Nested().eval()
    assert ours(net, nets.spikes())[0].synops_ac == ours(net, nets.spikes())[0].synops_ac == first * nets.SAMPLES


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["functional", "transposed"])
def test_it_counts_nothing_for_what_it_has_no_hook_for(theirs, kind):
    assert theirs[kind][0]["SynapticOperations"] == {"Effective_MACs": 0, "Effective_ACs": 0, "Dense": 0}
    assert ours(nets.BARE[kind]().eval(), nets.spikes())[0].synops_ac > 0


@pytest.mark.slow
def test_its_failed_metric_is_zero(theirs):
    """No entry for RLeaky in its table: an exception, swallowed, and 0.0 in the file."""
    assert theirs["recurrent"][0]["NeuronOperations"] == 0.0
    assert ours(nets.Recurrent().eval(), nets.spikes())[0].neuron_updates > 0


@pytest.mark.slow
def test_its_footprint_grows_by_the_state_of_the_last_batch(theirs):
    first, second = (run["Footprint"] for run in theirs["footprint"])
    counts, _ = ours(ForNeuroBench(nets.network()), nets.spikes())
    assert second - first == nets.SAMPLES * counts.state_bytes > 0
    assert ours(ForNeuroBench(nets.network()), nets.spikes()[:1])[0].footprint_bytes == counts.footprint_bytes


@pytest.mark.slow
def test_its_accuracy_divides_by_samples_that_it_dropped(theirs):
    """All answers are right; 6 of 8 samples are seen."""
    assert theirs["drop_last"][0]["ClassificationAccuracy"] == pytest.approx(6 / 8)


@pytest.mark.slow
def test_its_membrane_updates_are_changed_values(theirs):
    """A membrane that stays at rest is no update of its: never more than ours, so ours is not exported as it."""
    counts, _ = ours(ForNeuroBench(nets.network()), nets.spikes())
    (found,) = theirs["spikes/8"]
    assert 0 < found["MembraneUpdates"] <= counts.neuron_updates / counts.samples


def test_a_network_of_several_inputs_is_refused():
    with pytest.raises(UsageError, match="NeuroBench gives one tensor"):
        ForNeuroBench(core_network(torch.nn.Identity(), None, ("image", "audio")))


def test_the_adapter_is_the_network_with_samples_first():
    for readout in (False, True):
        network, x = nets.network(readout=readout), nets.spikes()
        with torch.no_grad():
            y_BTC, answer = ForNeuroBench(network)(x), network({"x": x.transpose(0, 1)})
        assert y_BTC.shape == ((nets.SAMPLES, 1, nets.CLASSES) if readout else (nets.SAMPLES, nets.STEPS, nets.CLASSES))
        assert torch.equal(y_BTC[:, 0] if readout else y_BTC.transpose(0, 1), answer)
