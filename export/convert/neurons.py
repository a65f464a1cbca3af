"""Converters of snnTorch's neurons without recurrent weights: Leaky, Synaptic, Lapicque, Alpha.

snnTorch's `Leaky` computes `U[t] = beta U[t-1] + I[t]` and resets it by `reset_mechanism`; forward Euler with
`tau = dt / (1 - beta)` and `r = 1 / (1 - beta)` is the same line. The pieces are in `membranes.py`.
"""

from __future__ import annotations

import nir
import numpy as np
import snntorch

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Array, Builder, Rewrite, Signal, Tap, full
from spikeport.export.convert.layers import array, converts
from spikeport.export.convert.membranes import (
    LAYER,
    cuba_lif,
    decay,
    leaky_integrator,
    refuse_extras,
    refuse_swallowed_input,
    spiking_membrane,
    threshold,
)
from spikeport.export.shapes import Shape


@converts(snntorch.Leaky)
def leaky(builder: Builder, name: str, layer: LAYER, signal: Signal, shape: Shape) -> Signal:
    """`U[t] = beta U[t-1] + I[t]`; with `zero` both values of reset_delay give the same spikes."""
    refuse_extras(name, layer)
    beta = decay(layer.beta, shape, name)
    spikes, _ = spiking_membrane(builder, name, layer, signal, beta, threshold(name, layer, shape))
    return graded(builder, name, layer, spikes)


@converts(snntorch.Synaptic)
def synaptic(builder: Builder, name: str, layer: LAYER, signal: Signal, shape: Shape) -> Signal:
    """`i[t] = alpha i[t-1] + I[t]`, `U[t] = beta U[t-1] + i[t]`; i is not reset."""
    refuse_extras(name, layer)
    refuse_swallowed_input(name, layer)
    spikes, _ = synaptic_cell(builder, name, layer, signal, shape)
    return graded(builder, name, layer, spikes)


def synaptic_cell(builder: Builder, name: str, layer: LAYER, signal: Signal, shape: Shape) -> tuple[Signal, str]:
    """Add the cell of `Synaptic`; return its spikes and the node that its currents enter.

    `zero` is one CubaLIF, unless alpha or beta is 1; all else is LI (the current) -> membrane.
    """
    alpha, beta = decay(layer.alpha, shape, name), decay(layer.beta, shape, name)
    theta = threshold(name, layer, shape)
    if layer.reset_mechanism == "zero" and alpha.max() < 1 and beta.max() < 1:
        spikes = builder.add(name, cuba_lif(alpha, beta, theta, builder.dt_s), signal)
        builder.taps[name] = Tap(builder.call)
        return spikes, name
    current_name = builder.name(f"{name}_current")
    current = builder.add(current_name, leaky_integrator(name, alpha, builder.dt_s), signal)
    builder.taps[current_name] = Tap(builder.call, "syn")
    builder.rewrites.append(Rewrite(name, "the synaptic current as an LI of its own"))
    spikes, _ = spiking_membrane(builder, name, layer, current, beta, theta)
    return spikes, current_name


@converts(snntorch.Lapicque)
def lapicque(builder: Builder, name: str, layer: LAYER, signal: Signal, shape: Shape) -> Signal:
    """`U[t] = (1 - T/(R C)) U[t-1] + (T/C) I[t]`, T being snnTorch's `time_step`; every reset waits one step."""
    refuse_extras(name, layer)
    if layer.reset_mechanism == "zero":
        raise UnfaithfulError(
            f"neuron '{name}'",
            "Lapicque's reset_mechanism='zero' swallows the input of the step after a spike, which no NIR node does",
            "Use snntorch.Leaky with reset_mechanism='zero', or reset_mechanism='subtract'",
        )
    step, r, c = (np.asarray(array(value), dtype=np.float64) for value in (layer.time_step, layer.R, layer.C))
    beta = full(1 - step / (r * c), shape, name)
    gain = full(step / c, shape, name)
    if not (np.isfinite(gain).all() and beta.min() >= 0 and beta.max() <= 1):
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"its time_step {step} with R {r} and C {c} gives a decay of {beta.flat[0]}, outside of 0 to 1",
            "Choose R C of at least time_step",
        )
    scaled = signal
    if np.any(gain != 1):
        scaled = builder.add(builder.name(f"{name}_drive"), nir.Scale(scale=gain), signal)
        builder.rewrites.append(Rewrite(name, "time_step / C as a Scale before the neuron"))
    spikes, _ = spiking_membrane(builder, name, layer, scaled, beta, threshold(name, layer, shape))
    return graded(builder, name, layer, spikes)


@converts(snntorch.Alpha)
def alpha(builder: Builder, name: str, layer: LAYER, signal: Signal, shape: Shape) -> Signal:
    """`e[t] = alpha e[t-1] + I[t]`, `n[t] = beta n[t-1] - I[t]`, `U[t] = tau (e[t] + n[t])`, without reset only."""
    refuse_extras(name, layer)
    if layer.reset_mechanism != "none":
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"Alpha's reset_mechanism='{layer.reset_mechanism}' overwrites its currents one step after a spike, "
            "which no NIR node does",
            "Use snntorch.Synaptic with reset_mechanism='subtract', or Alpha with reset_mechanism='none'",
        )
    rise, fall = decay(layer.beta, shape, name), decay(layer.alpha, shape, name)
    with np.errstate(divide="ignore"):
        tau = np.log(fall) / (np.log(rise) - np.log(fall)) + 1
    excitatory, inhibitory = builder.name(f"{name}_exc"), builder.name(f"{name}_inh")
    minus = builder.add(builder.name(f"{name}_minus"), nir.Scale(scale=np.full(shape, -1.0)), signal)
    currents = builder.add(excitatory, leaky_integrator(name, fall, builder.dt_s), signal)
    currents += builder.add(inhibitory, leaky_integrator(name, rise, builder.dt_s), minus)
    builder.taps |= {excitatory: Tap(builder.call, "syn_exc"), inhibitory: Tap(builder.call, "syn_inh")}
    potential = builder.add(builder.name(f"{name}_potential"), nir.Scale(scale=tau), currents)
    builder.potentials[builder.call] = potential.sources[0]
    spikes = builder.add(name, nir.Threshold(threshold=threshold(name, layer, shape)), potential)
    builder.taps[name] = Tap(builder.call)
    builder.rewrites.append(Rewrite(name, "Alpha without reset as two LI -> Scale -> Threshold"))
    return graded(builder, name, layer, spikes)


def graded(builder: Builder, name: str, layer: LAYER, spikes: Signal) -> Signal:
    """Scale the spikes by `graded_spikes_factor`, where it is not 1."""
    factor: Array = full(array(layer.graded_spikes_factor), spikes.shape, name)
    if np.all(factor == 1):
        return spikes
    if np.any(factor == 0):
        raise UnfaithfulError(f"neuron '{name}'", "its graded_spikes_factor is 0", "Remove the neuron instead")
    builder.rewrites.append(Rewrite(name, "graded spikes as a Scale behind the neuron"))
    return builder.add(builder.name(f"{name}_graded"), nir.Scale(scale=factor), spikes)
