"""A network as the chain of layers that lava-dl's `.net` can say, or the reason why it is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.hops import RefusedError
from spikeport.deploy.loihi import limits
from spikeport.deploy.loihi.engine import Population, Synapses
from spikeport.deploy.loihi.files.kernels import Kernels
from spikeport.deploy.loihi.files.network import WrittenNetwork, early_heard, reset_in_words, unlike_in_words
from spikeport.deploy.loihi.files.netx import netx_keeps
from spikeport.deploy.loihi.files.script import sums_fit

IntArray = NDArray[np.int32]

DELAY_MAX = 62
"""netx clamps what is longer."""
DENSE_MAX = 2**22
"""Weights, zeros among them, that a layer is written with where it is no convolution: 16 MiB."""
BIAS_EXP = 6
"""netx shifts every bias by this much."""


@dataclass(frozen=True)
class Link:
    """One layer.

    Attributes:
        population: its neurons.
        weight: [N, sources], whole; `None` for a convolution.
        kernels: of a convolution.
        back: [N, N], of its recurrence.
        delay: extra steps.
        bias: [N], as netx counts it.
    """

    population: Population
    weight: IntArray | None
    kernels: Kernels | None
    back: IntArray | None
    delay: int
    bias: IntArray


def chain_of(written: WrittenNetwork) -> list[Link]:
    """Return the layers from the input on.

    Raises:
        RefusedError: `.net` cannot say something.
    """
    network = written.network
    if len(network.inputs) != 1:
        first, *more = network.inputs
        value = "beside it " + ", ".join(f"'{name}'" for name in more)
        raise _refused(first, value, "a .net has one input", "Join the inputs to one, or run the Lava script")
    links: list[Link] = []
    at, populations = next(iter(network.inputs)), {p.name: p for p in network.populations}
    image = len(network.inputs[at]) == 3
    while onward := [i for i, s in enumerate(network.synapses) if s.source == at and s.target != at]:
        targets = {network.synapses[i].target for i in onward}
        if len(targets) > 1 or targets & {link.population.name for link in links}:
            value = "it feeds " + ", ".join(f"'{name}'" for name in sorted(targets))
            raise _refused(at, value, "a .net is a chain of layers", "Run the Lava script, or the engine")
        at = targets.pop()
        links.append(_link(written, populations[at], image))
        image = links[-1].kernels is not None
    if left := [name for name in populations if name not in {link.population.name for link in links}]:
        raise _refused(
            left[0], "", "nothing of the input reaches it, and a .net is a chain from its input", "Leave it out"
        )
    _check_start(written, links)
    return links


def _refused(node: str, value: str, reason: str, fix: str) -> RefusedError:
    return RefusedError(node, value, reason, fix)


def _link(written: WrittenNetwork, population: Population, image: bool) -> Link:
    synapses = written.network.synapses
    into = [i for i, s in enumerate(synapses) if s.target == population.name != s.source]
    back = [s for s in synapses if s.target == s.source == population.name]
    _check_neurons(written, population)
    if len(into) > 1 or len(back) > 1:
        sources = ", ".join(f"'{synapses[i].source}'" for i in into)
        raise _refused(population.name, f"fed by {sources}", "a .net's layer has one source", _RUN_SCRIPT)
    for s in (*(synapses[i] for i in into), *back):
        _check_synapses(population, s, recurrent=bool(back))
    kernels = written.kernels.get(into[0])
    forward = synapses[into[0]]
    bias = _bias(population)
    if kernels is not None and image and not back and not forward.wait and sums_fit(forward, kernels, written):
        return Link(population, None, kernels, None, 0, bias)
    matrices = [_dense(population, s) for s in (forward, *back)]
    if not netx_keeps(matrices):
        values = [int(m.min()) for m in matrices] + [int(m.max()) for m in matrices]
        raise _refused(
            population.name, f"weights from {min(values)} to {max(values)}",
            "netx would store others: it takes a layer's sign and bits from its largest and smallest weight, and "
            "knows no layer that is all zero",
            "Let the layer have weights of both signs",
        )  # fmt: skip
    return Link(population, matrices[0], None, matrices[1] if back else None, forward.wait, bias)


_RUN_SCRIPT = "Run the Lava script, which can say it"


def _check_neurons(written: WrittenNetwork, population: Population) -> None:
    if population.name in written.values:
        reason = "its membrane is read, and a .net's layer sends spikes"
        raise _refused(population.name, "", reason, "End the network at spikes, or run the Lava script")
    if population.reset != "zero":
        reason = "a .net names no reset, and the neuron that netx makes of it resets to 0"
        raise _refused(population.name, reset_in_words(population), reason, "Use a reset to zero")
    if unlike := unlike_in_words(population):
        reason = "a .net's layer has one decay and one threshold for all its neurons"
        raise _refused(population.name, unlike, reason, "Train one for all neurons")
    if population.refractory:
        value = f"refractory {population.refractory}"
        raise _refused(population.name, value, "netx knows no refractory period", "Leave it out")
    if population.constant is not None:
        reason = "a constant enters its synaptic state, and a .net has biases of the membrane alone"
        raise _refused(population.name, f"up to {int(np.abs(population.constant).max())}", reason, _RUN_SCRIPT)


def _check_synapses(population: Population, synapses: Synapses, recurrent: bool) -> None:
    source = f"from '{synapses.source}'"
    if synapses.weight_exp:
        value = f"weight_exp {synapses.weight_exp} {source}"
        raise _refused(population.name, value, "a .net holds 8-bit weights without an exponent", _RUN_SCRIPT)
    if synapses.wait > DELAY_MAX:
        value = f"delay {synapses.wait} {source}"
        raise _refused(population.name, value, f"netx delays by at most {DELAY_MAX} steps", "Shorten the delay")
    if synapses.wait and recurrent:
        value = f"delay {synapses.wait} {source}"
        raise _refused(population.name, value, "netx delays no recurrent layer", _RUN_SCRIPT)


def _dense(population: Population, synapses: Synapses) -> IntArray:
    if (size := int(np.prod(synapses.weight.shape))) > DENSE_MAX:
        reason = f"it is no single convolution, and a .net is written with at most {DENSE_MAX}"
        raise _refused(population.name, f"{size} weights from '{synapses.source}'", reason, _RUN_SCRIPT)
    return np.asarray(synapses.weight.toarray(), dtype=np.int32)


def _bias(population: Population) -> IntArray:
    bias = population.bias
    if np.any(low := bias % 2**BIAS_EXP):
        neuron = int(np.argmax(low != 0))
        raise _refused(
            population.name, f"bias {bias[neuron]} of neuron {neuron}",
            f"netx takes biases in steps of {2**BIAS_EXP}", "Train it without bias, or run the Lava script",
        )  # fmt: skip
    if np.any(np.abs(bias) > limits.BIAS_MANT_MAX << BIAS_EXP):
        value = f"bias up to {int(np.abs(bias).max())}"
        raise _refused(population.name, value, f"netx takes up to {limits.BIAS_MANT_MAX << BIAS_EXP}", _RUN_SCRIPT)
    return np.asarray(bias >> BIAS_EXP, dtype=np.int32)


def _check_start(written: WrittenNetwork, links: list[Link]) -> None:
    """Refuse biases that netx would let in too early: it puts layer i to 0 in step i, and at no other."""
    if not written.driven:
        return
    for i, link in enumerate(links, start=1):
        if link.population.onset != i:
            value = f"first step {link.population.onset}, layer {i}"
            reason = "netx resets a layer in the step of its place, and a bias must not start elsewhere"
            raise _refused(link.population.name, value, reason, _RUN_SCRIPT)
    if heard := early_heard(written.network):
        source, synapses = heard
        reason = f"it fires before its first step, and '{synapses.target}' would hear that later"
        raise _refused(source.name, f"bias up to {int(source.bias.max())}", reason, "Make the bias smaller")
