"""An export is held against the author's own module: what a copy, or the sample, would not show is refused by name.

Every network here fires, or not, just as a plain one would on the sample: only its meaning elsewhere is another.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
import torch.nn.functional as F
from export_nets import DT, converted, exported, held, leaky, spikes_like, torch_outputs
from snntorch import surrogate, utils
from torch import Tensor, nn

import spikeport
from spikeport.errors import UnfaithfulError
from spikeport.models.network import Segment, SpikingNetwork

X = spikes_like((8,), steps=50)


class Net(nn.Module):
    def __init__(self, forward: Callable[[Any, Tensor], Any], **attributes: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wired = forward
        self.fc, self.lif = nn.Linear(8, 8), leaky(threshold=0.3, reset_mechanism="zero")
        self.syn = snntorch.Synaptic(alpha=0.5, beta=0.8, init_hidden=True)
        nn.init.normal_(self.fc.weight, std=0.7)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Any:
        return self.wired(self, x)


def after(act: Callable[[Any], Any], neuron: str = "lif") -> Callable[[Any, Tensor], Any]:
    """Return a forward that first does something else."""

    def forward(n: Any, x: Tensor) -> Any:
        act(n)
        return getattr(n, neuron)(n.fc(x))

    return forward


RESETS = {
    "utils.reset(self)": after(utils.reset),
    "reset_hidden()": after(lambda n: n.lif.reset_hidden()),
    "reset_mem()": after(lambda n: n.lif.reset_mem()),
    "of Synaptic": after(lambda n: n.syn.reset_mem(), "syn"),
    "mem = zeros": after(lambda n: setattr(n.lif, "mem", torch.zeros(3, 8))),
}


@pytest.mark.parametrize("what", RESETS)
@pytest.mark.parametrize("verify", [True, False])
def test_a_reset_in_forward_is_refused(what: str, verify: bool, tmp_path: Path) -> None:
    with pytest.raises(UnfaithfulError, match=r"neuron '(lif|syn)': forward resets it") as refused:
        spikeport.export(Net(RESETS[what]), X, DT, tmp_path / "n.bundle", verify=verify)
    assert "outside of forward" in refused.value.fix
    assert list(tmp_path.iterdir()) == []


def test_the_network_that_resets_is_another_and_without_it_the_bundle_is_the_authors() -> None:
    resets, plain = Net(RESETS["utils.reset(self)"]).eval(), Net(after(lambda n: None)).eval()
    assert not torch.equal(torch_outputs(resets, X)[0], torch_outputs(plain, X)[0])
    exported(plain, X)


def count(n: Any) -> None:
    n.t += 1


def count_inside(n: Any) -> None:
    n.counts[0] += 1


def past_the_sample(n: Any, x: Tensor) -> Tensor:
    n.t += 1
    return n.lif(n.fc(x if n.t <= 50 else 3 * x))


def by_length(n: Any, x: Tensor) -> Tensor:
    n.log.append(0)
    return n.lif(n.fc(x if len(n.log) <= 50 else 3 * x))


def once(n: Any, x: Tensor) -> Tensor:
    scale, n.scale = n.scale, 1.0
    return n.lif(n.fc(x) * scale)


OWN_STATES: dict[str, tuple[Net, str]] = {
    "a counter past T": (Net(past_the_sample, t=0), "attribute 't' of model Net"),
    "a counter that does nothing yet": (Net(after(count), t=0), "attribute 't'"),
    "a counter in a list": (Net(after(count_inside), counts=[0]), "attribute 'counts'"),
    "a log that is measured": (Net(by_length, log=[]), "attribute 'log'"),
    "a generator": (
        Net(lambda n, x: n.lif(n.fc(x) * (1 + 0 * torch.rand(8, generator=n.draws))), draws=torch.Generator()),
        "attribute 'draws'",
    ),
    "another first step": (Net(once, scale=2.0), "attribute 'scale'"),
}


@pytest.mark.parametrize("what", OWN_STATES)
def test_a_forward_that_counts_its_calls_is_refused(what: str) -> None:
    net, said = OWN_STATES[what]
    with pytest.raises(UnfaithfulError, match=said) as refused:
        held(net, X)
    assert refused.value.fix


def keep_last(n: Any, x: Tensor) -> Tensor:
    n.last = n.lif(n.fc(x))
    n.log.append(n.last)
    return n.last


def test_what_forward_makes_at_its_first_call_and_keeps_is_a_constant() -> None:
    def lazy(n: Any, x: Tensor) -> Tensor:
        if n.gain is None:
            n.gain = torch.linspace(0.5, 1, 8)
        return n.lif(n.fc(x) * n.gain)

    exported(Net(lazy, gain=None), X)


def test_what_forward_writes_and_never_reads_is_its_own_affair(tmp_path: Path) -> None:
    net = Net(keep_last, log=[])
    spikeport.export(net, X, DT, tmp_path / "n.bundle")
    assert net.log == []
    assert not hasattr(net, "last")


def hooked(layer: str, register: str, hook: Any) -> Net:
    net = Net(after(lambda n: None))
    getattr(net.get_submodule(layer), register)(hook)
    return net


def clamp(module: nn.Module, given: Any, result: Tensor) -> None:
    result.clamp_(max=50.0)


PRE, POST = "register_forward_pre_hook", "register_forward_hook"
HOOKS: dict[str, tuple[Net, str]] = {
    "a clamp that never acts": (
        hooked("lif", PRE, lambda m, i: (i[0].clamp(max=50.0),)),
        "'lif' .Leaky.: its forward pre",
    ),
    "a result": (hooked("fc", POST, lambda m, i, o: o.clamp(max=50.0)), "'fc' .Linear.: its forward hook"),
    "in place": (hooked("fc", POST, clamp), "'fc' .Linear."),
    "on the model": (hooked("", PRE, lambda m, i: (i[0].clamp(max=50.0),)), "model Net: its forward pre-hook"),
}


@pytest.mark.parametrize("what", HOOKS)
def test_a_hook_that_acts_is_refused(what: str) -> None:
    net, said = HOOKS[what]
    assert torch.equal(torch_outputs(net, X)[0], torch_outputs(Net(after(lambda n: None)), X)[0])
    with pytest.raises(UnfaithfulError, match=said):
        held(net, X)


def test_a_hook_that_listens_hears_the_authors_run_and_no_other(tmp_path: Path) -> None:
    heard: list[Tensor] = []
    net = hooked("lif", POST, lambda m, i, o: heard.append(o))
    before = dict(net.lif._forward_hooks)
    spikeport.export(net, X, DT, tmp_path / "n.bundle")
    assert len(heard) == len(X)
    assert torch.equal(torch.stack(heard), torch_outputs(Net(after(lambda n: None)).eval(), X)[0])
    assert dict(net.lif._forward_hooks) == before


def test_a_layer_with_another_forward_is_refused() -> None:
    net = Net(after(lambda n: None))
    net.fc.forward = lambda x: F.linear(x, net.fc.weight, net.fc.bias).clamp(max=50.0)
    with pytest.raises(UnfaithfulError, match=r"layer 'fc' .Linear.: its forward was replaced"):
        held(net, X)


CHANCE: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "torch.rand": (lambda n, x: n.lif(n.fc(x) * torch.rand(8)), "'rand'"),
    "torch.rand_like": (lambda n, x: n.lif(n.fc(x) * torch.rand_like(x)), "'rand_like'"),
    "torch.bernoulli": (lambda n, x: n.lif(n.fc(torch.bernoulli(x))), "'bernoulli'"),
    "bernoulli_": (lambda n, x: n.lif(n.fc(x.bernoulli_(0.5))), "'bernoulli_'"),
    "F.dropout left on": (lambda n, x: n.lif(F.dropout(n.fc(x))), "'dropout'"),
    "numpy": (lambda n, x: n.lif(n.fc(x) * float(np.random.rand())), "numpy.random"),
    "Python": (lambda n, x: n.lif(n.fc(x) * random.random()), "random:"),
}


@pytest.mark.parametrize("what", CHANCE)
def test_random_calls_are_refused_by_name_on_a_silent_sample_too(what: str, tmp_path: Path) -> None:
    forward, said = CHANCE[what]
    net = Net(forward)
    net.fc.bias.data.fill_(-1)
    with pytest.raises(UnfaithfulError, match=f"call to .*{said}|call to {said}"):
        spikeport.export(net, 0 * X, DT, tmp_path / "n.bundle", verify=False)


def fires_at(rule: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda over: rule(over).to(over.dtype)


RULES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "at the threshold": (fires_at(lambda u: u >= 0), "emits 1 where the membrane is 0 above"),
    "half": (lambda u: 0.5 * (u > 0).to(u.dtype), "emits 0.5"),
    "soft": (torch.sigmoid, "emits"),
    "late": (fires_at(lambda u: u > 0.5), "emits 0 where the membrane is"),
    "signed": (lambda u: (u > 0).to(u.dtype) - (u < -10).to(u.dtype), "emits -1 where the membrane is -100"),
}


@pytest.mark.parametrize("what", RULES)
def test_a_firing_rule_that_is_not_strict_is_refused(what: str) -> None:
    rule, said = RULES[what]
    for neuron in (
        leaky(spike_grad=rule),
        snntorch.Synaptic(0.5, 0.8, init_hidden=True, spike_grad=rule),
        snntorch.RLeaky(0.9, linear_features=8, init_hidden=True, spike_grad=rule),
        snntorch.DeltaLeaky(delta_threshold=0.5, beta=0.9, init_hidden=True, spike_grad=rule),
    ):
        with pytest.raises(UnfaithfulError, match=said) as refused:
            converted(nn.Sequential(nn.Linear(8, 8), neuron), 0 * X)
        assert "snntorch.surrogate" in refused.value.fix


def test_so_it_is_in_a_window_network_and_on_the_host(tmp_path: Path) -> None:
    rule, said = RULES["at the threshold"]
    window = snntorch.StateLeaky(beta=0.9, channels=8, spike_grad=rule)
    for layers in ((nn.Linear(8, 8), window), (snntorch.SLSTM(8, 8, spike_grad=rule, init_hidden=True), leaky())):
        with pytest.raises(UnfaithfulError, match=said):
            spikeport.export(nn.Sequential(*layers), X, DT, tmp_path / "n.bundle")


def test_the_advised_rules_are_taken() -> None:
    for rule in (surrogate.atan(), surrogate.fast_sigmoid(), surrogate.sigmoid(), fires_at(lambda u: u > 0), None):
        converted(nn.Sequential(nn.Linear(8, 8), leaky(spike_grad=rule)), X)


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back(fails: bool, tmp_path: Path) -> None:
    """The author's network and another stand in the middle of their windows."""

    def forward(n: Any, x: Tensor) -> Any:
        n.notes["seen"] = x
        n.last = x
        if fails:
            utils.reset(n)
        return n.lif(n.fc(x))

    net, other = Net(forward, notes={}).train(), Net(after(lambda n: None))
    net.fc.register_forward_hook(lambda m, i, o: None)
    before = X.clone()
    with torch.no_grad():
        net.lif(net.fc(X[0]))
        other(X[0])
    assert net.lif.mem.abs().sum() > 0
    instances, content = snntorch.SpikingNeuron.instances, [*snntorch.SpikingNeuron.instances]
    states = {n: x.clone() for m in (net, other) for n, x in (("a", m.lif.mem), ("b", m.lif.reset), ("c", m.fc.weight))}
    kept = [
        (m, dict(vars(m)), {k: v.clone() for k, v in m._buffers.items()}) for n in (net, other) for m in n.modules()
    ]
    chances = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    hooks = dict(net.fc._forward_hooks)
    if fails:
        with pytest.raises(UnfaithfulError):
            spikeport.export(net, X, DT, tmp_path / "n.bundle")
    else:
        spikeport.export(net, X, DT, tmp_path / "n.bundle")
    assert states
    for module, attributes, buffers in kept:
        assert vars(module) == attributes
        assert all(torch.equal(module._buffers[name], value) for name, value in buffers.items())
    assert net.notes == {}
    assert dict(net.fc._forward_hooks) == hooks
    assert all(module.training for module in net.modules())
    assert snntorch.SpikingNeuron.instances is instances
    assert all(a is b for a, b in zip(instances, content, strict=True))
    assert torch.equal(torch.get_rng_state(), chances[0])
    assert np.array_equal(np.random.get_state()[1], chances[1])
    assert random.getstate() == chances[2]
    assert torch.equal(X, before)


def test_all_samples_are_compared(tmp_path: Path) -> None:
    """The batch size stands in forward: a check of two samples could not even run it."""
    spikeport.export(Net(lambda n, x: n.lif(n.fc(x.view(3, 8)))), X, DT, tmp_path / "n.bundle")


def test_options_of_forward_with_a_default_are_options() -> None:
    class Options(Net):
        def forward(self, x: Tensor, num_steps: int = 10, plot: bool = False, mask: Tensor | None = None) -> Any:
            current = self.fc(x) if mask is None else self.fc(x) * mask
            return self.lif(current)

    exported(Options(after(lambda n: None)), X)


def test_a_plain_list_of_layers_is_named() -> None:
    net = Net(lambda n, x: n.lif(n.parts[0](x)), parts=[nn.Linear(8, 8)])
    with pytest.raises(UnfaithfulError, match=r"'parts': it is a plain list of layers.*nn\.ModuleList"):
        converted(net, X)
    exported(Net(lambda n, x: n.lif(n.parts[0](x)), parts=nn.ModuleList([nn.Linear(8, 8)])), X)


def test_a_membrane_kept_on_the_model_is_a_state_of_its_own(tmp_path: Path) -> None:
    class OnSelf(Net):
        def forward(self, x: Tensor) -> Any:
            spikes, self.mem = self.hand(self.fc(x), self.mem)
            return spikes

    net = OnSelf(after(lambda n: None), hand=snntorch.Leaky(beta=0.9), mem=None)
    with pytest.raises(UnfaithfulError, match="attribute 'mem' of model OnSelf: forward changes it"):
        spikeport.export(net, X, DT, tmp_path / "n.bundle")


def test_a_network_of_segments_that_does_more_is_refused(tmp_path: Path) -> None:
    class More(SpikingNetwork):
        def forward(self, inputs: Any) -> Tensor:
            return 2 * super().forward(inputs)

    segments = [Segment("core", "step", Net(after(lambda n: None)), ("x",), ("spikes",))]
    spikeport.export(SpikingNetwork(segments, ("x",)), {"x": X}, DT, tmp_path / "plain.bundle")
    with pytest.raises(UnfaithfulError, match="network More: its forward gives another answer"):
        spikeport.export(More(segments, ("x",)), {"x": X}, DT, tmp_path / "n.bundle")


def test_a_parametrized_neuron_is_the_neuron_that_it_computes() -> None:
    class Squashed(nn.Module):
        def forward(self, value: Tensor) -> Tensor:
            return torch.sigmoid(value)

    for name in ("beta", "threshold"):
        net = Net(after(lambda n: None), lif=leaky(beta=0.4, learn_beta=True, learn_threshold=True))
        nn.utils.parametrize.register_parametrization(net.lif, name, Squashed())
        exported(net.eval(), X)
