"""The pieces of which snnTorch's neurons are made in NIR: decays, thresholds, and a membrane with its reset."""

from __future__ import annotations

from typing import Any, TypeAlias

import nir
import numpy as np

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Array, Builder, Rewrite, Signal, Tap, full
from spikeport.export.convert.layers import array
from spikeport.export.shapes import Shape

# snnTorch carries no types.
LAYER: TypeAlias = Any


def spiking_membrane(
    builder: Builder, name: str, layer: LAYER, signal: Signal, beta: Array, theta: Array
) -> tuple[Signal, str]:
    """Add `U[t] = beta U[t-1] + signal[t]` with its threshold and reset.

    `zero` is one LIF (IF where beta is 1); `subtract` with reset_delay is LI -> Threshold -> Scale(-theta) -> LI,
    the last edge of the loop carrying the step before; without delay see `_reset_at_once`; `none` has no loop.

    Returns:
        The spikes, and the node that the current enters.
    """
    refuse_changed_reset(name, layer)
    builder.taps[name] = Tap(builder.call)
    if layer.reset_mechanism == "zero":
        return builder.add(name, lif(name, beta, theta, builder.dt_s), signal), name
    subtract = layer.reset_mechanism == "subtract"
    if subtract and not getattr(layer, "reset_delay", True):
        return _reset_at_once(builder, name, signal, beta, theta)
    membrane_name = builder.name(f"{name}_membrane")
    membrane = builder.add(membrane_name, leaky_integrator(name, beta, builder.dt_s), signal)
    builder.taps[membrane_name] = Tap(builder.call, "mem")
    spikes = builder.add(name, nir.Threshold(threshold=theta), membrane)
    if subtract:
        reset = builder.add(builder.name(f"{name}_reset"), nir.Scale(scale=-theta), spikes)
        builder.register(spikes, reset, membrane_name)
        builder.rewrites.append(Rewrite(name, "reset by subtraction as LI -> Threshold -> Scale(-theta) -> LI"))
    else:
        builder.rewrites.append(Rewrite(name, "no reset, as LI -> Threshold"))
    return spikes, membrane_name


def _reset_at_once(builder: Builder, name: str, signal: Signal, beta: Array, theta: Array) -> tuple[Signal, str]:
    """Add snnTorch's subtraction without delay, which takes theta off at once, but not in two steps on end.

    With U the membrane after the reset, which the layer keeps:

        S[t] = beta U[t-1] + signal[t] - theta [U[t-1] > theta] > theta
        U[t] = beta U[t-1] + signal[t] - theta S[t]

    A neuron that its reset leaves above the threshold is compared with twice as much in the step after.
    """
    drive = builder.add(builder.name(f"{name}_drive"), nir.Scale(scale=np.ones_like(beta)), signal)
    membrane_name = builder.name(f"{name}_membrane")
    membrane = builder.add(membrane_name, leaky_integrator(name, beta, builder.dt_s), drive)
    builder.taps[membrane_name] = Tap(builder.call, "mem")
    kept = builder.add(builder.name(f"{name}_kept"), nir.Scale(scale=beta), membrane)
    above = builder.add(builder.name(f"{name}_above"), nir.Threshold(threshold=theta), membrane)
    builder.taps[above.sources[0]] = Tap(builder.call, "above")
    held = builder.add(builder.name(f"{name}_held"), nir.Scale(scale=-theta), above)
    builder.registers |= {(membrane_name, kept.sources[0]), (above.sources[0], held.sources[0])}
    spikes = builder.add(name, nir.Threshold(threshold=theta), drive + kept + held)
    reset = builder.add(builder.name(f"{name}_reset"), nir.Scale(scale=-theta), spikes)
    builder.edges.append((reset.sources[0], membrane_name))
    what = "reset by subtraction without delay as a loop of an LI and two Thresholds"
    builder.rewrites.append(Rewrite(name, what))
    return spikes, drive.sources[0]


def leaky_integrator(name: str, beta: Array, dt_s: float) -> nir.NIRNode:
    """Return the node of `U[t] = beta U[t-1] + I[t]`."""
    if _is_integrator(name, beta):
        return nir.I(r=np.ones_like(beta))
    tau, r = euler(beta, dt_s)
    return nir.LI(tau=tau, r=r, v_leak=np.zeros_like(beta))


def lif(name: str, beta: Array, theta: Array, dt_s: float) -> nir.NIRNode:
    """Return the node of `U[t] = beta U[t-1] + I[t]`, reset to 0 where it exceeds theta."""
    zero = np.zeros_like(beta)
    if _is_integrator(name, beta):
        return nir.IF(r=np.ones_like(beta), v_threshold=theta, v_reset=zero)
    tau, r = euler(beta, dt_s)
    return nir.LIF(tau=tau, r=r, v_leak=zero, v_threshold=theta, v_reset=zero)


def cuba_lif(alpha: Array, beta: Array, theta: Array, dt_s: float) -> nir.NIRNode:
    """Return the node of `i[t] = alpha i[t-1] + I[t]`, `U[t] = beta U[t-1] + i[t]`, U reset to 0, i kept."""
    zero = np.zeros_like(beta)
    (tau_syn, w_in), (tau_mem, r) = euler(alpha, dt_s), euler(beta, dt_s)
    return nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau_mem, r=r, v_leak=zero, v_threshold=theta, v_reset=zero, w_in=w_in)


def euler(beta: Array, dt_s: float) -> tuple[Array, Array]:
    """Return tau and r so that `v += dt/tau (r I - v)` is `v = beta v + I`.

    r is the reciprocal of dt/tau as it is rounded, and not of 1 - beta: then dt/tau times r rounds to 1 or to just
    below, and a spike of height 1 does not lift a membrane at rest over a threshold of 1.
    """
    tau = dt_s / (1 - beta)
    return tau, 1 / (dt_s / tau)


def _is_integrator(name: str, beta: Array) -> bool:
    if np.any(beta == 1) and not np.all(beta == 1):
        raise UnfaithfulError(
            f"neuron '{name}'", "a decay is 1 for some of its elements and below for others", "Split the layer"
        )
    return bool(np.all(beta == 1))


def decay(value: LAYER, shape: Shape, name: str) -> Array:
    """Return alpha or beta for every element, clamped to 0..1 as snnTorch clamps it at each step."""
    return full(np.clip(array(value), 0.0, 1.0), shape, name)


def threshold(name: str, layer: LAYER, shape: Shape) -> Array:
    """Return the threshold for every element; a negative one is refused."""
    theta = full(array(layer.threshold), shape, name)
    if np.any(theta < 0):
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"its threshold is {theta.min()}, so that it fires at rest",
            "Use a threshold of at least 0",
        )
    return theta


def refuse_extras(name: str, layer: LAYER) -> None:
    """Raise for what no NIR node says: inhibition and quantised state."""
    if layer.inhibition:
        raise UnfaithfulError(
            f"neuron '{name}'", "inhibition=True compares all neurons of the layer", "Use inhibition=False"
        )
    if layer.state_quant:
        raise UnfaithfulError(
            f"neuron '{name}'", "state_quant rounds the membrane, and NIR knows no such thing", "Quantise at deployment"
        )


def refuse_swallowed_input(name: str, layer: LAYER) -> None:
    """Raise for reset to zero with delay, where snnTorch throws away the input of the step after a spike."""
    if layer.reset_mechanism == "zero" and layer.reset_delay:
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"{type(layer).__name__} with reset_mechanism='zero' and reset_delay=True swallows the input of the step "
            "after a spike, which no NIR node does",
            "Build it with reset_delay=False",
        )


def refuse_changed_reset(name: str, layer: LAYER) -> None:
    """Raise where the reset was changed after construction: snnTorch then applies it by halves."""
    bound = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}[layer.state_function.__name__]
    stored = ("subtract", "zero", "none")[int(layer.reset_mechanism_val)]
    if not bound == stored == layer.reset_mechanism:
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"it was built with reset_mechanism='{bound}' and later given '{stored}', which snnTorch applies by halves",
            "Build it with the reset_mechanism it is to have",
        )
