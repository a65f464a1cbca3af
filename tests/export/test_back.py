"""NIR -> snnTorch: the same spikes as the interpreter at every neuron node, and back again."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from back_nets import comes_back, cuba_li, inputs, layers_of, loop_of, looped, random_graph, rng, weight
from export_nets import DT, SINABS, chain, graph, li, lif, sink, source, spikes_like
from snntorch import utils

from spikeport.export.audit import audit
from spikeport.export.back import imported, to_snntorch
from spikeport.export.convert import convert
from spikeport.export.graph import ChipGraph
from spikeport.export.nir_file import read_nir
from spikeport.export.verify import record_model


def test_a_file_of_another_tool_comes_back() -> None:
    if not SINABS.exists():
        pytest.skip("no cnn_sinabs.nir here")
    chip = ChipGraph.from_nir(read_nir(SINABS), DT)
    first = comes_back(chip, {"input": spikes_like((2, 34, 34), 15, 1, 0.3)})
    assert layers_of(first).count("Leaky") == 5


@pytest.mark.parametrize(
    ("node", "kind", "reset"),
    [
        (lif(5, a=0.1, r=10.0), snn.Leaky, "zero"),
        (lif(5, a=0.3, r=1.7, theta=0.2), snn.Leaky, "zero"),
        (lif(5, a=1.0), snn.Leaky, "zero"),
        (nir.LIF(np.linspace(2e-3, 9e-3, 5), np.linspace(5, 1, 5), np.zeros(5), np.ones(5)), snn.Leaky, "zero"),
        (nir.IF(np.ones(5), np.full(5, 1.5)), snn.Leaky, "zero"),
        (
            nir.CubaLIF(
                tau_syn=np.full(5, 4e-3), tau_mem=np.linspace(2e-3, 9e-3, 5), r=np.full(5, 3.0), v_leak=np.zeros(5),
                v_threshold=np.full(5, 0.7), w_in=np.linspace(0.5, 2.0, 5),
            ),
            snn.Synaptic,
            "zero",
        ),
        (nir.Threshold(np.full(5, 0.4)), snn.Leaky, "none"),
    ],
    ids=["lif", "lif-driven", "lif-memoryless", "lif-per-element", "if", "cubalif", "threshold"],
)  # fmt: skip
def test_spiking_nodes(node: nir.NIRNode, kind: type, reset: str) -> None:
    first = comes_back(chain((4,), nir.Affine(weight(5, 4), weight(5, seed=1)), node))
    neuron = first.trace.module.n1
    assert type(neuron) is kind
    assert neuron.reset_mechanism == reset


@pytest.mark.parametrize("value", [li(5, a=0.2, r=5.0), li(5, a=0.2), nir.I(np.ones(5)), cuba_li(5)])
def test_values_are_read_at_the_membrane_and_come_back_as_values(value: nir.NIRNode) -> None:
    chip = chain((4,), nir.Linear(weight(6, 4)), lif(6), nir.Linear(weight(5, 6)), value)
    first = comes_back(chip)
    again = convert(first.trace.module, {"input": torch.zeros(1, 4)}, DT)
    assert not any(isinstance(n, nir.Threshold) for n in again.graph.nodes.values())
    assert any(isinstance(n, nir.LI | nir.I) for n in again.graph.nodes.values())


@pytest.mark.parametrize("late", [("s", "r"), ("r", "m")])
@pytest.mark.parametrize(
    ("membrane", "scale"), [(li(5, a=0.1, r=10.0), -0.8), (nir.I(np.ones(5)), -0.8), (li(5, a=0.5), -1.6)]
)
def test_the_loop_of_a_soft_reset_is_leaky_subtract(membrane: nir.NIRNode, scale: float, late: tuple[str, str]) -> None:
    first = comes_back(looped(membrane, 0.8, scale, late=late))
    (neuron,) = [m for m in first.trace.module.children() if isinstance(m, snn.SpikingNeuron)]
    assert (type(neuron), neuron.reset_mechanism, neuron.reset_delay) == (snn.Leaky, "subtract", True)


def test_a_loop_of_another_weight_is_recurrence_without_reset() -> None:
    first = comes_back(looped(li(5, a=0.5, r=2.0), 0.8, -0.5))
    (neuron,) = [m for m in first.trace.module.children() if isinstance(m, snn.SpikingNeuron)]
    assert (type(neuron), neuron.reset_mechanism) == (snn.RLeaky, "none")


def test_a_current_before_a_soft_reset_is_synaptic() -> None:
    first = comes_back(looped(li(5, a=0.1, r=10.0), 0.8, -0.8, current=li(5, a=0.4)))
    (neuron,) = [m for m in first.trace.module.children() if isinstance(m, snn.SpikingNeuron)]
    assert (type(neuron), neuron.reset_mechanism) == (snn.Synaptic, "subtract")
    assert set(first.taps) == {"c", "m", "s"}


def test_a_current_with_a_factor_behind_it_stays_a_neuron_of_its_own() -> None:
    first = comes_back(looped(li(5, a=0.1, r=5.0), 0.8, -1.6, current=li(5, a=0.4)))
    assert layers_of(first).count("Leaky") == 2


def test_several_readers_of_one_membrane() -> None:
    nodes = {"x": source(4), "w": nir.Linear(weight(5, 4)), "m": li(5, a=0.2), "y": sink(5), "z": sink(5), "v": sink(5)}
    nodes |= {"s": nir.Threshold(np.full(5, 0.3)), "h": nir.Threshold(np.full(5, 0.9))}
    edges = [("x", "w"), ("w", "m"), ("m", "s"), ("m", "h"), ("m", "v"), ("s", "y"), ("h", "z")]
    first = comes_back(graph(nodes, edges))
    assert len(to_snntorch(first.graph)(torch.zeros(2, 4))) == 3


@pytest.mark.parametrize(
    ("shape", "back", "r"),
    [
        ((5,), nir.Affine(weight(5, 5), weight(5, seed=9)), 2.0),
        ((5,), nir.Affine(weight(5, 5), weight(5, seed=9)), 0.7),
        ((5,), nir.Linear(weight(5, 5)), 2.0),
        ((5,), nir.Scale(np.linspace(-1, 0.5, 5)), 1.3),
        ((2, 4, 4), nir.Conv2d((4, 4), weight(2, 2, 3, 3, gain=0.3), 1, 1, 1, 1, weight(2, seed=4)), 2.0),
        ((2, 4, 4), nir.Conv2d((4, 4), weight(2, 1, 1, 3, gain=0.3), 1, (0, 1), 1, 2, np.zeros(2)), 0.7),
        ((3, 5), nir.Affine(weight(5, 5), weight(5, seed=9)), 0.7),
        ((5,), None, 1.0),
    ],
)
def test_recurrence_is_rleaky(shape: tuple[int, ...], back: nir.NIRNode | None, r: float) -> None:
    nodes = {"x": source(*shape), "n": lif(*shape, r=r, theta=0.3), "y": sink(*shape)}
    edges = [("x", "n"), ("n", "y")]
    if back is None:
        chip = graph(nodes, [*edges, ("n", "n")], [("n", "n")])
    else:
        chip = graph(nodes | {"b": back}, [*edges, ("n", "b"), ("b", "n")], [("n", "b")])
    first = comes_back(chip)
    assert type(first.trace.module.n) is snn.RLeaky
    assert first.trace.module.n.reset_delay is False


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_stateless_nodes_in_a_chain() -> None:
    conv = nir.Conv2d((9, 8), weight(4, 1, 3, 2), (2, 1), (1, 0), 1, 2, weight(4, seed=2))
    same = nir.Conv2d((5, 7), weight(4, 4, 2, 3, gain=0.3), 1, "same", 1, 1, np.zeros(4))
    pools = [nir.SumPool2d(np.array(p), np.array([2, 1]), np.array([1, 0])) for p in ((3, 2),)]
    mean = nir.AvgPool2d(np.array([2, 2]), np.array([1, 2]), np.array([0, 1]))
    flatten = nir.Flatten({"input": np.array([4, 2, 4])}, 0, -1)
    scale = nir.Scale(rng(3).uniform(-1, 2, 32))
    affine = nir.Affine(weight(6, 32), weight(6))
    chip = chain(
        (2, 9, 8), conv, lif(4, 5, 7), same, *pools, lif(4, 3, 6, theta=2.0), mean, flatten, scale, affine, lif(6)
    )
    first = comes_back(chip)
    assert first.trace.module.n0.groups == 2


def test_one_dimensional_convolution_and_nested_names() -> None:
    conv = nir.Conv1d(12, weight(4, 1, 3), 2, 2, 2, 2, weight(4))
    flatten = nir.Flatten({"input": np.array([4, 6])}, 0, 1)
    inner = nir.NIRGraph(
        {"input": source(2, 12), "forward": conv, "n": lif(4, 6), "0": flatten, "output": sink(24)},
        [("input", "forward"), ("forward", "n"), ("n", "0"), ("0", "output")], type_check=False,
    )  # fmt: skip
    chip = graph({"lambda": source(2, 12), "train": inner, "y": sink(24)}, [("lambda", "train"), ("train", "y")])
    assert "train.n" in comes_back(chip).taps


def test_branches_sums_skips_and_several_outputs() -> None:
    nodes = {"a": source(4), "b": source(3), "wa": nir.Linear(weight(5, 4)), "wb": nir.Affine(weight(5, 3), weight(5))}
    nodes |= {
        "n": lif(5),
        "u": nir.Linear(weight(5, 5)),
        "m": lif(5, a=0.2, r=4.0),
        "p": li(5),
        "y": sink(5),
        "z": sink(5),
    }
    edges = [("a", "wa"), ("b", "wb"), ("wa", "n"), ("wb", "n"), ("n", "u"), ("u", "m"), ("n", "m"), ("m", "p")]
    chip = graph(nodes, [*edges, ("n", "y"), ("m", "y"), ("p", "z")])
    first = comes_back(chip)
    net = first.trace.module
    assert [t.shape for t in net(a=torch.zeros(2, 4), b=torch.zeros(2, 3))] == [(2, 5), (2, 5)]


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs_come_back(seed: int) -> None:
    chip = random_graph(seed)
    comes_back(chip, inputs(chip, 50), dtype=(torch.float32, torch.float64)[seed % 2])


def test_an_imported_network_trains() -> None:
    net = to_snntorch(chain((4,), nir.Linear(weight(6, 4)), lif(6, r=2.0), nir.Linear(weight(3, 6)), li(3, r=2.0)))
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    x = spikes_like((4,), 12)
    losses = []
    for _ in range(6):
        utils.reset(net)
        loss = (torch.stack([net(step) for step in x]) - 1).square().mean()
        for parameter, slope in zip(net.parameters(), torch.autograd.grad(loss, list(net.parameters())), strict=True):
            parameter.data -= 0.1 * slope
        losses.append(float(loss.detach()))
    assert set(before) == {"n0.weight", "n2.weight"}
    assert all(not torch.equal(before[n], p) for n, p in net.named_parameters())
    assert losses[-1] < 0.8 * losses[0]


def test_a_chosen_surrogate_gradient_is_used() -> None:
    grad = snn.surrogate.fast_sigmoid(slope=7)
    assert to_snntorch(chain((4,), lif(4)), spike_grad=grad).n0.spike_grad is grad


def test_the_audit_would_notice_a_changed_network() -> None:
    chip = chain((4,), nir.Linear(weight(6, 4)), lif(6))
    first = imported(chip)
    x = inputs(chip)
    with torch.no_grad():
        first.trace.module.n1.beta.fill_(0.9)
    recording = record_model(first, x)
    assert audit(chip, {n: v.numpy() for n, v in x.items()}, recording).mismatches > 10


def test_the_register_may_stand_behind_the_recurrent_weights() -> None:
    recurrent = nir.Affine(weight(4, 4), weight(4, seed=5))
    first = comes_back(loop_of(recurrent, neuron=lif(4, theta=0.2), register=("b0", "n")))
    assert type(first.trace.module.n) is snn.RLeaky
