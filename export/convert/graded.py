"""snnTorch's GradedSpikes: a learned factor for every row of the last two axes."""

from __future__ import annotations

import nir
import numpy as np
import snntorch

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import Builder, Rewrite, Signal
from spikeport.export.convert.layers import array, converts
from spikeport.export.convert.membranes import LAYER
from spikeport.export.shapes import Shape


@converts(snntorch.GradedSpikes)
def graded_spikes(builder: Builder, name: str, layer: LAYER, signal: Signal, shape: Shape) -> Signal:
    """`y = w x` with w of shape [size, 1], broadcast as torch does: along the last axis but one."""
    weight = array(layer.weights).astype(np.float64)
    if len(weight) > 1 and len(signal.shape) < 2:
        raise UnfaithfulError(
            f"layer '{name}' (GradedSpikes of size {len(weight)})",
            "on [B, features] snnTorch gives its factors to the samples of a batch, not to the features",
            "Use size=1, or the graded_spikes_factor of the neuron, with one value a feature",
        )
    if shape != signal.shape:
        raise UnfaithfulError(
            f"layer '{name}' (GradedSpikes of size {len(weight)})",
            f"it spreads {signal.shape} to {shape} by broadcasting",
            f"Give it {signal.shape[-2]} as its size",
        )
    builder.rewrites.append(Rewrite(name, "GradedSpikes as a Scale"))
    scale = np.broadcast_to(weight if len(weight) > 1 else weight.reshape(()), shape)
    return builder.add(name, nir.Scale(scale=np.array(scale)), signal)
