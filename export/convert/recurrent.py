"""Converters of snnTorch's recurrent neurons: RLeaky and RSynaptic.

`I[t] = input[t] + recurrent(S[t-1])`: the edge from the neuron into its recurrent weights carries the step before.
Its bias acts from the first step on.
"""

from __future__ import annotations

import nir
import numpy as np
import snntorch
from torch import nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Builder, Signal, full
from spikeport.export.convert.layers import array, converts, convolution, linear
from spikeport.export.convert.membranes import (
    LAYER,
    decay,
    refuse_extras,
    refuse_swallowed_input,
    spiking_membrane,
    threshold,
)
from spikeport.export.convert.neurons import synaptic_cell
from spikeport.export.shapes import Shape


@converts(snntorch.RLeaky)
def recurrent_leaky(builder: Builder, name: str, layer: LAYER, signal: Signal, shape: Shape) -> Signal:
    """`U[t] = beta U[t-1] + I[t] + V S[t-1]`."""
    refuse_extras(name, layer)
    refuse_swallowed_input(name, layer)
    beta = decay(layer.beta, shape, name)
    spikes, entry = spiking_membrane(builder, name, layer, signal, beta, threshold(name, layer, shape))
    return _close_loop(builder, name, layer, spikes, entry)


@converts(snntorch.RSynaptic)
def recurrent_synaptic(builder: Builder, name: str, layer: LAYER, signal: Signal, shape: Shape) -> Signal:
    """`i[t] = alpha i[t-1] + I[t] + V S[t-1]`, `U[t] = beta U[t-1] + i[t]`."""
    refuse_extras(name, layer)
    if layer.reset_mechanism == "zero" or not layer.reset_delay:
        raise UnfaithfulError(
            f"neuron '{name}'",
            f"snnTorch's RSynaptic with reset_mechanism='{layer.reset_mechanism}' and reset_delay={layer.reset_delay} "
            "swallows an input after each spike or fails, which no NIR node does",
            "Use reset_mechanism='subtract' with reset_delay=True",
        )
    spikes, entry = synaptic_cell(builder, name, layer, signal, shape)
    return _close_loop(builder, name, layer, spikes, entry)


def _close_loop(builder: Builder, name: str, layer: LAYER, spikes: Signal, entry: str) -> Signal:
    back_name = builder.name(f"{name}_recurrent")
    weights = layer.recurrent
    if isinstance(weights, nn.Linear):
        back = linear(builder, back_name, weights, spikes, spikes.shape)
    elif isinstance(weights, nn.Conv2d):
        back = convolution(builder, back_name, weights, spikes, spikes.shape)
    else:
        scale = full(array(weights.V), spikes.shape, name)
        back = builder.add(back_name, nir.Scale(scale=np.asarray(scale)), spikes)
    builder.register(spikes, back, entry)
    return spikes
