"""Every conversion against snnTorch's own run, and what is refused; the naive conversion must fail where ours holds."""

from __future__ import annotations

import copy
from dataclasses import replace

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from export_nets import (
    DT,
    converted,
    exact_or_refused,
    exported,
    leaky,
    node_spikes,
    samples,
    spikes_like,
    torch_outputs,
)
from torch import nn
from torch.nn.utils import parametrizations, prune

from spikeport.errors import SpikeportError, UnfaithfulError, UsageError
from spikeport.export.convert import convert
from spikeport.export.interpreter import run
from spikeport.export.verify import verify

X = spikes_like((8,))
IMAGES = spikes_like((2, 9, 7), steps=50, batch=2)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def dense(neuron: nn.Module, size: int = 8) -> nn.Sequential:
    layer = nn.Linear(8, size)
    nn.init.normal_(layer.weight, std=0.5)
    return nn.Sequential(layer, neuron)


class Net(nn.Module):
    """A forward given as a function over a stock of layers."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.l1, self.l2, self.l3 = leaky(reset_mechanism="zero"), leaky(), leaky(reset_mechanism="zero", beta=0.5)
        self.bn, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.5)
        for layer in (self.a, self.b, self.c):
            nn.init.normal_(layer.weight, std=0.7)
        self.wired = forward
        self.previous = 0.0

    def forward(self, x):
        return self.wired(self, x)


class Net2(Net):
    def forward(self, x, y):
        return self.wired(self, x, y)


def shaken(norm: nn.Module) -> nn.Module:
    """A BatchNorm as training leaves it."""
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.3, 2)
    norm.weight.data.uniform_(0.5, 2)
    norm.bias.data.normal_()
    return norm


@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_resets(reset, delay):
    net = dense(leaky(reset_mechanism=reset, reset_delay=delay))
    if reset == "subtract" and not delay:
        with pytest.raises(UnfaithfulError, match="reset_delay=True"):
            converted(net, X)
        return
    conversion, agreement = exported(net, X)
    assert agreement.exact
    spikes = node_spikes(conversion, X)["_1"]
    assert 0.02 < spikes.mean() < 0.98
    kinds = [type(n).__name__ for n in conversion.graph.nodes.values()]
    wanted = {"zero": ["LIF"], "subtract": ["LI", "Threshold", "Scale"], "none": ["LI", "Threshold"]}[reset]
    assert kinds == ["Input", "Affine", *wanted, "Output"]


def test_taking_subtraction_for_a_hard_reset_is_another_network():
    """What `snntorch.export_nir` writes for its own default."""
    soft, _ = exported(dense(leaky(reset_mechanism="subtract")), X)
    torch.manual_seed(0)
    hard, _ = exported(dense(leaky(reset_mechanism="zero")), X)
    s, h = node_spikes(soft, X)["_1"], node_spikes(hard, X)["_1"]
    assert s.sum() > 1.05 * h.sum()
    with pytest.raises(UnfaithfulError, match="it is not the model"):
        verify(replace(soft, graph=hard.graph, taps=hard.taps), samples(nn.Sequential(), X))


BETAS = {
    "scalar": 0.8,
    "tensor": torch.tensor(0.8),
    "one": torch.tensor([0.8]),
    "per neuron": torch.linspace(0.1, 0.95, 8),
    "zero": 0.0,
    "integrator": 1.0,
    "above 1": 1.3,
    "below 0": -0.5,
    "nearly 1": 1 - 1e-6,
}


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize("beta", BETAS.values(), ids=BETAS.keys())
def test_betas(beta, reset):
    beta = beta.clone() if isinstance(beta, torch.Tensor) else beta
    learned = reset != "subtract"
    conversion, _ = exported(dense(leaky(beta=beta, reset_mechanism=reset, learn_beta=learned)), X)
    assert node_spikes(conversion, X)["_1"].any()


def test_an_unclamped_beta_is_another_network():
    conversion, _ = exported(dense(leaky(beta=1.3, reset_mechanism="zero")), X)
    clamped = node_spikes(conversion, X)["_1"]
    net = dense(leaky(beta=1.3, reset_mechanism="zero"))
    v, rows = torch.zeros(3, 8), []
    for x in X:
        v = 1.3 * v + nn.functional.linear(x, net[0].weight, net[0].bias)
        rows.append((v > 1).float())
        v = v * (1 - rows[-1])
    assert (torch.stack(rows).detach().numpy() != clamped).any()


def test_beta_of_1_for_some_neurons_is_refused():
    with pytest.raises(UnfaithfulError, match="is 1 for some"):
        converted(dense(leaky(beta=torch.tensor([1.0, 0.5] * 4))), X)
    with pytest.raises(SpikeportError):
        converted(dense(leaky(beta=torch.full((5,), 0.5))), X)


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 7, 5)])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_per_channel_parameters_spread_as_torch_means_them(shape, reset):
    neuron = leaky(beta=torch.rand(shape), threshold=torch.rand(shape) + 0.2, reset_mechanism=reset)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), neuron)
    conversion, _ = exported(net, IMAGES)
    node = conversion.graph.nodes["_1" if reset == "zero" else "_1_membrane"]
    assert node.tau.shape == (3, 7, 5)
    assert np.unique(node.tau).size > 1


@pytest.mark.parametrize("threshold", [0.0, 0.3, torch.linspace(0.0, 2.0, 8)], ids=["0", "0.3", "vector"])
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_thresholds(threshold, reset):
    threshold = threshold.clone() if isinstance(threshold, torch.Tensor) else threshold
    conversion, _ = exported(dense(leaky(threshold=threshold, reset_mechanism=reset, learn_threshold=True)), X)
    assert node_spikes(conversion, X)["_1"].any()


def test_negative_threshold_is_refused():
    with pytest.raises(UnfaithfulError, match="fires at rest"):
        converted(dense(leaky(threshold=-0.1)), X)


@pytest.mark.parametrize("factor", [0.5, -2.0, torch.linspace(0.5, 3, 8)], ids=["half", "negative", "vector"])
@pytest.mark.parametrize(("reset", "delay"), [("zero", True), ("zero", False), ("subtract", True)])
def test_graded_spikes(factor, reset, delay):
    neuron = leaky(graded_spikes_factor=factor, reset_mechanism=reset, reset_delay=delay)
    conversion, _ = exported(nn.Sequential(*dense(neuron), nn.Linear(8, 5), leaky()), X)
    assert node_spikes(conversion, X)["_3"].any()


def test_a_factor_of_0_and_an_altered_reset_are_refused():
    with pytest.raises(UnfaithfulError, match="graded_spikes_factor is 0"):
        converted(dense(leaky(graded_spikes_factor=0.0)), X)
    neuron = leaky(reset_mechanism="zero")
    neuron.reset_mechanism = "subtract"
    with pytest.raises(UnfaithfulError, match="by halves"):
        converted(dense(neuron), X)
    with pytest.raises(UnfaithfulError, match="state_quant"):
        converted(dense(leaky(state_quant=lambda v: v.round())), X)
    with pytest.warns(UserWarning, match="Inhibition"):
        inhibited = leaky(inhibition=True)
    with pytest.raises(UnfaithfulError, match="inhibition"):
        converted(dense(inhibited), X)


def conv_net(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, leaky(threshold=0.3), nn.Flatten(), nn.LazyLinear(5), leaky(threshold=0.3))


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(2, 4, 3, padding=1, groups=2)],
        [nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False)],
        [nn.Conv2d(2, 3, 3, padding="same", dilation=2)],
        [nn.Conv2d(2, 3, 3, padding="valid"), nn.AvgPool2d(2)],
        [nn.AvgPool2d((3, 2), stride=(1, 2), padding=(1, 1)), nn.Conv2d(2, 3, 1)],
        [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)],
        [nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3)],
        [nn.AvgPool2d(2), nn.BatchNorm2d(2, affine=False)],
        [nn.Conv2d(2, 3, 3, bias=False), nn.Identity(), nn.BatchNorm2d(3), nn.Dropout2d(0.5)],
        [nn.Flatten(2), nn.Conv1d(2, 4, 5, stride=2, padding=2, dilation=3, groups=2), nn.BatchNorm1d(4)],
        [nn.Flatten(2, 3), nn.Conv1d(2, 3, 3, padding="same")],
    ],
    ids=str,
)
def test_convolutional_layers(layers):
    layers = copy.deepcopy(layers)
    for layer in layers:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            if layer.affine:
                shaken(layer)
            else:
                layer.running_mean.uniform_(0, 0.3)
    net = conv_net(*layers)
    with torch.no_grad():
        net(IMAGES[0])  # the lazy layer, and a hidden state to be left alone
        for layer in net:
            if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
                layer.weight.normal_(std=0.7)
    conversion, _ = exported(net, IMAGES)
    assert all(spikes.any() for spikes in node_spikes(conversion, IMAGES).values())


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.AvgPool2d(2, divisor_override=3),
        nn.AvgPool2d(3, padding=1, count_include_pad=False),
        nn.BatchNorm2d(2, track_running_stats=False),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(0),
        nn.InstanceNorm2d(2),
    ],
    ids=str,
)
def test_layers_that_nir_cannot_say_are_refused_by_name(layer):
    with pytest.raises(UnfaithfulError, match="0'"):
        converted(nn.Sequential(layer, leaky()), IMAGES)


OTHER_NEURONS = {
    "Synaptic": {"alpha": 0.5, "beta": 0.9, "init_hidden": True},
    "Alpha": {"alpha": 0.95, "beta": 0.9, "init_hidden": True},
    "Lapicque": {"beta": 0.9, "init_hidden": True},
    "RLeaky": {"beta": 0.9, "linear_features": 8, "init_hidden": True},
    "RSynaptic": {"alpha": 0.5, "beta": 0.9, "linear_features": 8, "init_hidden": True},
    "SLSTM": {"input_size": 8, "hidden_size": 8, "init_hidden": True},
    "LeakyParallel": {"input_size": 8, "hidden_size": 8},
}


@pytest.mark.filterwarnings("ignore:dropout option")
@pytest.mark.parametrize("name", OTHER_NEURONS)
def test_other_neurons_are_converted_or_refused_by_name(name):
    exact_or_refused(dense(getattr(snn, name)(**OTHER_NEURONS[name])), X, "1")


# What a forward may do: (function, neuron nodes wanted)
WIRED = {
    "residual": (lambda s, x: (lambda h: s.l2(s.b(h) + h))(s.l1(s.a(x))), {"l1", "l2"}),
    "skip of the input": (lambda s, x: s.l1(s.a(x) + x), {"l1"}),
    "a + a": (lambda s, x: (lambda h: s.l1(h + h))(s.a(x)), {"l1"}),
    "a + b + a": (lambda s, x: (lambda h, g: s.l1(h + g + h))(s.a(x), s.b(x)), {"l1"}),
    "constants": (lambda s, x: s.l2(s.b(2 * s.l1(s.a(x) * 1.5) * torch.linspace(-1, 1, 8))), {"l1", "l2"}),
    "plus 0": (lambda s, x: s.l1(0 + s.a(x) + 0.0), {"l1"}),
    "shared layer": (lambda s, x: s.l2(s.a(s.l1(s.a(x)))), {"l1", "l2"}),
    "three readers": (lambda s, x: (lambda h: s.l1(h) + s.l2(h) + s.l3(h + s.b(x)))(s.a(x)), {"l1", "l2", "l3"}),
    "dead branch": (lambda s, x: (s.l3(s.b(x)), s.l1(s.a(x)))[1], {"l1"}),
    "dead branch behind": (lambda s, x: (lambda h: (s.l2(s.b(h)), h)[1])(s.l1(s.a(x))), {"l1"}),
    "two outputs": (lambda s, x: (s.l1(s.a(x)), s.l2(s.b(x))), {"l1", "l2"}),
    "same output twice": (lambda s, x: (lambda h: (h, h))(s.l1(s.a(x))), {"l1"}),
    "a current as output": (lambda s, x: s.c(s.l1(s.a(x))), {"l1"}),
    "neuron on the input": (lambda s, x: s.l1(x), {"l1"}),
    "neuron on neuron": (lambda s, x: s.l2(s.l1(s.a(x))), {"l1", "l2"}),
    "keyword": (lambda s, x: s.l1(input_=s.a(input=x)), {"l1"}),
    "flatten": (lambda s, x: torch.flatten(s.l1(s.a(x)), 1), {"l1"}),
    "dropout": (lambda s, x: s.l1(F.dropout(s.drop(s.a(x)), 0.5, s.training)), {"l1"}),
    "norm folded": (lambda s, x: s.l1(s.bn(s.a(x))), {"l1"}),
    "norm of a shared source": (lambda s, x: (lambda h: s.l1(s.bn(h)) + s.l2(h))(s.a(x)), {"l1", "l2"}),
    "norm after its source's other reader": (lambda s, x: (lambda h: s.l2(h) + s.l1(s.bn(h)))(s.a(x)), {"l1", "l2"}),
    "norm behind a wire": (
        lambda s, x: (lambda h: s.l1(s.bn(F.dropout(h, training=False))) + s.l2(h))(s.a(x)),
        {"l1", "l2"},
    ),
    "norm behind plus 0": (lambda s, x: (lambda h: s.l1(s.bn(h + 0)) + s.l2(h))(s.a(x)), {"l1", "l2"}),
    "norm whose source is an output": (lambda s, x: (lambda h: (s.l1(s.bn(h)), h))(s.a(x)), {"l1"}),
    "norm after a sum": (lambda s, x: s.l1(s.bn(s.a(x) + s.b(x))), {"l1"}),
    "norm first": (lambda s, x: s.l1(s.a(s.bn(x))), {"l1"}),
    "norm twice": (lambda s, x: s.l1(s.bn(s.a(s.bn(s.b(x))))), {"l1"}),
    "norm read by two": (lambda s, x: (lambda h: s.l1(h) + s.l2(s.b(h)))(s.bn(s.a(x))), {"l1", "l2"}),
}


@pytest.mark.parametrize(("forward", "nodes"), WIRED.values(), ids=WIRED.keys())
def test_wirings(forward, nodes):
    net = Net(forward)
    shaken(net.bn)
    conversion, agreement = exported(net, X)
    assert agreement.exact
    spikes = node_spikes(conversion, X)
    assert set(spikes) == nodes
    assert all(0 < s.mean() < 1 for s in spikes.values())


def test_which_norms_are_folded():
    def folded(name: str) -> bool:
        net = Net(WIRED[name][0])
        shaken(net.bn)
        return "bn" not in converted(net.eval(), X).graph.nodes

    assert folded("norm folded")
    for name in WIRED:
        if name.startswith("norm ") and name not in ("norm folded", "norm twice", "norm read by two"):
            assert not folded(name), name


def test_folding_into_a_shared_source_would_be_another_network():
    net = Net(WIRED["norm behind a wire"][0])
    shaken(net.bn)
    conversion, _ = exported(net, X)
    right = node_spikes(conversion, X)
    naive = dict(conversion.graph.nodes)
    gain = (net.bn.weight / (net.bn.running_var + net.bn.eps).sqrt()).detach().double().numpy()
    naive["a"] = nir.Affine(naive["a"].weight * gain[:, None], naive["a"].bias * gain)
    wrong = node_spikes(conversion, X, chip=replace(conversion.graph, nodes=naive))
    assert (right["l2"] != wrong["l2"]).any()


def test_a_norm_along_another_axis_is_not_folded_into_a_linear():
    norm = shaken(nn.BatchNorm1d(6))
    net = nn.Sequential(nn.Linear(5, 6), norm, leaky())
    exported(net, torch.rand(50, 2, 6, 5))


def test_a_norm_that_cancels_its_mean_still_verifies():
    """The folded bias is small, torch's intermediate is not: its rounding must not be taken for a difference."""
    net = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), leaky())
    norm = net[1]
    norm.running_mean.fill_(1.7)
    norm.running_var.fill_(0.83)
    norm.weight.data.fill_(1.3)
    norm.bias.data.fill_(1.3 * 1.7 / 0.83**0.5 + 1e-3)
    exported(net, spikes_like((8,), rate=0.05))


def test_two_inputs_of_which_one_may_be_unused():
    exported(Net2(lambda s, x, y: s.l1(s.a(x) + s.b(y))), X, spikes_like((8,), seed=5))
    conversion, _ = exported(Net2(lambda s, x, y: s.l1(s.a(y))), X, spikes_like((8,), seed=5))
    assert set(conversion.graph.inputs) == {"x", "y"}


def test_names_never_collide():
    net = nn.Sequential()
    for name, layer in (("input", nn.Linear(8, 8)), ("output_membrane", nn.Linear(8, 8)), ("output", leaky())):
        net.add_module(name, layer)
    exported(net, X)


def own_state(s, x):
    s.previous = s.l1(s.a(x) + 0.5 * s.previous)
    return s.previous


def own_tensor_state(s, x):
    s.previous = s.l1(s.a(x) + (torch.zeros(8) if isinstance(s.previous, float) else s.previous))
    return s.previous


def resets_itself(s, x):
    s.l1.reset_mem()
    return s.l1(s.a(x))


def in_place(s, x):
    h = s.a(x)
    h.add_(x)
    return s.l1(h)


def shared_neuron(s, x):
    return s.l1(s.b(s.l1(s.a(x))))


def loop_of_known_length(s, x):
    for _ in range(5):
        out = s.l1(s.a(x))
    return out


REFUSED = {
    "state of its own": (own_state, "state of its own"),
    "tensor state of its own": (own_tensor_state, "constant"),
    "resets itself": (resets_itself, "resets one"),
    "random factor": (lambda s, x: s.l1(s.a(x) * torch.rand(8)), "random"),
    "in place on a shared value": (in_place, "in place"),
    "shared neuron": (shared_neuron, "2 times"),
    "loop of known length": (loop_of_known_length, "loop over time"),
    "loop over x": (lambda s, x: [s.l1(s.a(x[t])) for t in range(3)][-1], "one time step"),
    "loop over its size": (lambda s, x: [s.l1(s.a(x)) for _ in range(x.size(0))][-1], "one time step"),
    "control flow": (lambda s, x: s.l1(s.a(x)) if x.sum() > 0 else s.l1(s.b(x)), "one time step"),
    "constant sum": (lambda s, x: s.l1(s.a(x) + torch.ones(8)), "constant"),
    "constant input": (lambda s, x: s.l1(s.a(x) + s.b(torch.ones(1, 8))), "constant"),
    "plus 1": (lambda s, x: s.l1(s.a(x) + 1), "constant"),
    "product": (lambda s, x: s.l1(s.a(x) * s.b(x)), "two signals"),
    "add with alpha": (lambda s, x: s.l1(torch.add(s.a(x), s.b(x), alpha=2)), "alpha"),
    "a factor with a batch": (lambda s, x: s.l1(s.a(x) * torch.ones(3, 8)), "batch"),
    "F.dropout left on": (lambda s, x: s.l1(F.dropout(s.a(x))), "on in evaluation"),
    "no neuron": (lambda s, x: s.a(x), "no spiking neuron"),
    "a dict": (lambda s, x: {"y": s.l1(s.a(x))}, "tensor"),
    "no output": (lambda s, x: (s.l1(s.a(x)), None)[1], "tensor"),
}


@pytest.mark.parametrize(("forward", "match"), REFUSED.values(), ids=REFUSED.keys())
def test_forwards_that_are_refused(forward, match):
    net = Net(forward).eval()
    with pytest.raises(UnfaithfulError, match=match):
        verify(converted(net, X), samples(net, X))


UNSETTLED = {
    "relu": lambda s, x: s.l1(F.relu(s.a(x))),
    "view": lambda s, x: s.l1(s.a(x.view(-1, 8))),
    "reshape": lambda s, x: s.l1(s.a(x).reshape(x.shape[0], 8)),
    "cat": lambda s, x: s.l1(torch.cat([s.l2(x), s.a(x)], 1)),
    "sub": lambda s, x: s.l1(s.a(x) - s.b(x)),
    "neg": lambda s, x: s.l1(-s.a(x)),
    "div": lambda s, x: s.l1(s.a(x) / 2),
    "getitem": lambda s, x: s.l1(s.a(x) + s.c(x)[:, :1]),
    "sum": lambda s, x: s.l1(s.a(x).sum(1, keepdim=True)),
    "clamp": lambda s, x: s.l1(s.a(x).clamp(0, 1)),
    "matmul": lambda s, x: s.l1(s.a(x) @ torch.ones(8, 8)),
    "linear": lambda s, x: s.l1(F.linear(x, s.a.weight)),
    "softmax": lambda s, x: s.l1(torch.softmax(s.a(x), 1)),
}


@pytest.mark.parametrize(("name", "forward"), UNSETTLED.items(), ids=UNSETTLED.keys())
def test_other_calls_are_exact_or_refused_by_name(name, forward):
    exact_or_refused(Net(forward), X, name)


class ByHand(nn.Module):
    """snnTorch's documented style."""

    def __init__(self, window: bool):
        super().__init__()
        self.fc, self.lif, self.window = nn.Linear(8, 4), snn.Leaky(beta=0.9), window

    def forward(self, x):
        mem = self.lif.reset_mem()
        for _ in range(3 if self.window else 1):
            spk, mem = self.lif(self.fc(x), mem)
        return spk


@pytest.mark.parametrize("window", [True, False])
def test_state_passed_by_hand_is_refused_with_advice(window):
    with pytest.raises(UnfaithfulError, match="init_hidden=True"):
        converted(ByHand(window), X)


def test_what_torch_does_to_layers_from_outside():
    pruned = dense(leaky())
    prune.random_unstructured(pruned[0], "weight", 0.5)
    conversion, _ = exported(pruned, X)
    assert (conversion.graph.nodes["_0"].weight == 0).sum() == 32
    with pytest.raises(UnfaithfulError, match="ParametrizedLinear"):
        converted(nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)), leaky()), X)
    hooked = dense(leaky())
    hooked[0].register_forward_hook(lambda module, args, out: out * 2)
    with pytest.raises(UnfaithfulError):
        verify(converted(hooked, X), samples(hooked, X))
    doubled = type("MyLinear", (nn.Linear,), {"forward": lambda self, x: 2 * F.linear(x, self.weight)})
    with pytest.raises(UnfaithfulError, match="linear"):
        converted(nn.Sequential(doubled(8, 8), leaky()), X)
    with pytest.raises(UnfaithfulError, match="MyLeaky"):
        converted(dense(type("MyLeaky", (snn.Leaky,), {})(beta=0.5, init_hidden=True)), X)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(dtype):
    with pytest.raises(UnfaithfulError, match=r"model\.float"):
        converted(dense(leaky()).to(dtype), X.to(dtype))


def test_double_precision_is_held_to_double():
    net = dense(leaky()).double()
    _, agreement = exported(net, X.double())
    assert agreement.exact


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value):
    net = dense(leaky())
    net[0].weight.data[3, 2] = value
    with pytest.raises(UnfaithfulError, match=r"0\.weight"):
        converted(net, X)
    for field in ("beta", "threshold"):
        with pytest.raises(UnfaithfulError, match=field):
            converted(dense(leaky(**{"beta": 0.5, field: value})), X)


def test_samples_of_the_wrong_shape_are_named():
    with pytest.raises(UsageError, match=r"\(3, 7\)"):
        converted(dense(leaky()), spikes_like((7,)))
    with pytest.raises(UsageError, match="Give one tensor for each"):
        convert(dense(leaky()), {"image": X[0]}, DT)


def test_the_users_model_is_left_alone():
    net = nn.Sequential(*dense(leaky(learn_beta=True)), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4), leaky())
    net.train()
    net[0].bias.requires_grad_(False)
    net(X[0]).sum().backward(retain_graph=True)  # leaves gradients, hidden states and running statistics behind
    assert net[1].mem.grad_fn is not None
    before = copy.deepcopy({n: p.detach().clone() for n, p in net.state_dict().items()})
    mems = [net[i].mem for i in (1, 5)]
    values = [m.detach().clone() for m in mems]
    gradients = {n: p.grad for n, p in net.named_parameters()}
    needs = {n: p.requires_grad for n, p in net.named_parameters()}
    instances = list(snn.SpikingNeuron.instances)
    x = X.clone()
    conversion = converted(net, x)
    assert verify(conversion, samples(net, x)).exact
    assert torch.equal(x, X)
    assert all(module.training for module in net.modules())
    after = net.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[n], before[n]) for n in before)
    assert all(net[i].mem is m for i, m in zip((1, 5), mems, strict=True))
    assert all(torch.equal(m, v) for m, v in zip(mems, values, strict=True))
    assert mems[0].any()
    assert all(p.grad is gradients[n] for n, p in net.named_parameters())
    assert {n: p.requires_grad for n, p in net.named_parameters()} == needs
    assert len(snn.SpikingNeuron.instances) == len(instances)
    loss = net(X[1]).sum()
    loss.backward()  # the graph of the training step before is still whole


def test_a_model_in_the_middle_of_a_window_is_exported_from_the_start():
    net = dense(leaky()).eval()
    with torch.no_grad():
        for x in X[:10]:
            net(x)
    conversion = converted(net, X)
    assert verify(conversion, samples(net, X)).exact
    reference = run(conversion.graph, {"input": X.numpy()}).nodes["output"]
    np.testing.assert_array_equal(reference, torch_outputs(net, X)[0].numpy())


@pytest.mark.parametrize("dt_s", [1e-6, 1e-3, 1.0, 25.0])
def test_any_time_step_gives_the_same_spikes(dt_s):
    net = dense(leaky(reset_mechanism="zero"))
    conversion = convert(net, {"input": X[0]}, dt_s)
    assert verify(conversion, {"input": X}).exact
    assert conversion.graph.nodes["_1"].tau[0] == pytest.approx(10 * dt_s)


def test_at_the_threshold_exactly():
    """Weights of 1/2 and beta 1/2 meet v == threshold all the time: the comparison must be strict."""
    for reset in ("zero", "subtract", "none"):
        net = nn.Sequential(nn.Linear(8, 8, bias=False), leaky(beta=0.5, reset_mechanism=reset))
        net[0].weight.data = torch.randint(-1, 2, (8, 8)).float() / 2
        conversion, agreement = exported(net, X)
        assert agreement.ties == 0
        lower = dict(conversion.graph.nodes)
        node = copy.copy(lower["_1"])
        field = "v_threshold" if reset == "zero" else "threshold"
        setattr(node, field, np.nextafter(getattr(node, field), 0))
        lower["_1"] = node
        wrong = node_spikes(conversion, X, chip=replace(conversion.graph, nodes=lower))["_1"]
        assert (wrong != node_spikes(conversion, X)["_1"]).any()  # `>=` would be another network


@pytest.mark.parametrize("bias", [-50.0, 50.0], ids=["silent", "saturated"])
def test_silent_and_saturated_layers(bias):
    for reset in ("zero", "subtract", "none"):
        net = dense(leaky(reset_mechanism=reset))
        net[0].bias.data.fill_(bias)
        conversion, _ = exported(net, X)
        assert node_spikes(conversion, X)["_1"].mean() == (bias > 0)
