"""Converters of snnTorch's neurons.

snnTorch's `Leaky` computes `U[t] = beta U[t-1] + I[t]` and resets it by `reset_mechanism`; forward Euler with
`tau = dt / (1 - beta)` and `r = 1 / (1 - beta)` is the same line.
"""

from __future__ import annotations

import nir
import numpy as np
import snntorch

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Array, Builder, Rewrite, Signal, Tap, full
from spikeport.export.convert.layers import array, converts
from spikeport.export.shapes import Shape


@converts(snntorch.Leaky)
def leaky(builder: Builder, name: str, layer: snntorch.Leaky, signal: Signal, shape: Shape) -> Signal:
    """`zero` is one LIF; `subtract` with reset_delay is LI -> Threshold -> Scale(-theta) -> LI; `none` has no loop."""
    refuse_extras(name, layer)
    _refuse_changed_reset(name, layer)
    beta = full(np.clip(array(layer.beta), 0.0, 1.0), shape, name)
    theta = threshold(name, layer, shape)
    if layer.reset_mechanism == "zero":
        spikes = builder.add(name, _lif(name, beta, theta, builder.dt_s), signal, shape)
    else:
        spikes = _subtract_or_none(builder, name, layer, signal, beta, theta)
    builder.taps[name] = Tap(builder.call)
    return graded(builder, name, layer, spikes)


def _subtract_or_none(
    builder: Builder, name: str, layer: snntorch.Leaky, signal: Signal, beta: Array, theta: Array
) -> Signal:
    """`U[t] = beta U[t-1] + I[t] - theta S[t-1]`, S = U > theta: the reset waits one step."""
    subtract = layer.reset_mechanism == "subtract"
    if subtract and not layer.reset_delay:
        raise UnfaithfulError(
            f"neuron '{name}'",
            "reset_mechanism='subtract' with reset_delay=False leaves a neuron that stays above its threshold stuck "
            "and silent, which no NIR graph does",
            "Use reset_delay=True (snnTorch's default) or reset_mechanism='zero'",
        )
    membrane_name = builder.name(f"{name}_membrane")
    membrane = builder.add(membrane_name, leaky_integrator(name, beta, builder.dt_s), signal)
    spikes = builder.add(name, nir.Threshold(threshold=theta), membrane)
    builder.taps[membrane_name] = Tap(builder.call, "mem")
    if subtract:
        reset = builder.add(builder.name(f"{name}_reset"), nir.Scale(scale=-theta), spikes)
        builder.edges.append((reset.sources[0], membrane.sources[0]))
        builder.registers.add((name, reset.sources[0]))
        builder.rewrites.append(Rewrite(name, "reset by subtraction as LI -> Threshold -> Scale(-theta) -> LI"))
    else:
        builder.rewrites.append(Rewrite(name, "no reset, as LI -> Threshold"))
    return spikes


def leaky_integrator(name: str, beta: Array, dt_s: float) -> nir.NIRNode:
    """Return the node of `U[t] = beta U[t-1] + I[t]`."""
    if _is_integrator(name, beta):
        return nir.I(r=np.ones_like(beta))
    return nir.LI(tau=dt_s / (1 - beta), r=1 / (1 - beta), v_leak=np.zeros_like(beta))


def _lif(name: str, beta: Array, theta: Array, dt_s: float) -> nir.NIRNode:
    zero = np.zeros_like(beta)
    if _is_integrator(name, beta):
        return nir.IF(r=np.ones_like(beta), v_threshold=theta, v_reset=zero)
    return nir.LIF(tau=dt_s / (1 - beta), r=1 / (1 - beta), v_leak=zero, v_threshold=theta, v_reset=zero)


def _is_integrator(name: str, beta: Array) -> bool:
    if np.any(beta == 1) and not np.all(beta == 1):
        raise UnfaithfulError(
            f"neuron '{name}'", "beta is 1 for some of its elements and below for others", "Split the layer"
        )
    return bool(np.all(beta == 1))


def threshold(name: str, layer: snntorch.SpikingNeuron, shape: Shape) -> Array:
    """Return the threshold for every element; a negative one is refused."""
    theta = full(array(layer.threshold), shape, name)
    if np.any(theta < 0):
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"its threshold is {theta.min()}, so that it fires at rest",
            "Use a threshold of at least 0",
        )
    return theta


def graded(builder: Builder, name: str, layer: snntorch.SpikingNeuron, spikes: Signal) -> Signal:
    """Scale the spikes by `graded_spikes_factor`, where it is not 1."""
    factor = full(array(layer.graded_spikes_factor), spikes.shape, name)
    if np.all(factor == 1):
        return spikes
    if np.any(factor == 0):
        raise UnfaithfulError(f"neuron '{name}'", "its graded_spikes_factor is 0", "Remove the neuron instead")
    builder.rewrites.append(Rewrite(name, "graded spikes as a Scale behind the neuron"))
    return builder.add(builder.name(f"{name}_graded"), nir.Scale(scale=factor), spikes)


def refuse_extras(name: str, layer: snntorch.SpikingNeuron) -> None:
    """Raise for what no NIR node says: inhibition and quantised state."""
    if layer.inhibition:
        raise UnfaithfulError(
            f"neuron '{name}'", "inhibition=True compares all neurons of the layer", "Use inhibition=False"
        )
    if layer.state_quant:
        raise UnfaithfulError(
            f"neuron '{name}'", "state_quant rounds the membrane, and NIR knows no such thing", "Quantise at deployment"
        )


def _refuse_changed_reset(name: str, layer: snntorch.Leaky) -> None:
    """SnnTorch binds its update at construction; a reset_mechanism set later changes one half of it only."""
    bound = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}[layer.state_function.__name__]
    stored = ("subtract", "zero", "none")[int(layer.reset_mechanism_val)]
    if not bound == stored == layer.reset_mechanism:
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"it was built with reset_mechanism='{bound}' and later given '{stored}', which snnTorch applies by halves",
            "Build it with the reset_mechanism it is to have",
        )
