"""The snnTorch neurons: their state, and which of them are sure to emit only 0 and 1."""

from __future__ import annotations

from typing import Any

import snntorch as snn
import torch
from snntorch._neurons.rleaky import RecurrentOneToOne as RLeakyWeights
from snntorch._neurons.rsynaptic import RecurrentOneToOne as RSynapticWeights
from torch import Tensor, nn

STATE: dict[type[nn.Module], tuple[str, ...]] = {
    snn.Leaky: ("mem",),
    snn.Lapicque: ("mem",),
    snn.Synaptic: ("syn", "mem"),
    snn.Alpha: ("syn_exc", "syn_inh", "mem"),
    snn.RLeaky: ("spk", "mem"),
    snn.RSynaptic: ("spk", "syn", "mem"),
    snn.SLSTM: ("syn", "mem"),
    snn.SConv2dLSTM: ("syn", "mem"),
}
"""State variables of each known neuron; each is read once and written once an update."""

STATELESS = (snn.StateLeaky, snn.AssociativeLeaky, snn.LinearLeaky)
"""Neurons without a rule that see a whole window at once: nothing lasts into the next call."""

ONE_TO_ONE = (RLeakyWeights, RSynapticWeights)
"""A recurrent weight from each neuron to itself."""

UPDATE_ARITHMETIC = {
    snn.SLSTM: "its gates' element-wise arithmetic; the products with its weights are counted",
    snn.SConv2dLSTM: "its gates' element-wise arithmetic; the products with its weights are counted",
}


def emits_binary(neuron: nn.Module) -> bool:
    """Return whether each output is sure to be 0 or 1.

    The spike function is one of snnTorch's own step functions, tried at both sides of the threshold, and its
    result is scaled by exactly 1. Where this is not sure, outputs are counted by their values.
    """
    function: Any = neuron.spike_grad
    if getattr(function, "__module__", "") not in ("snntorch.surrogate", "snntorch._neurons.neurons"):
        return False
    if not bool((torch.as_tensor(neuron.graded_spikes_factor) == 1).all()):
        return False
    probe = torch.tensor([-torch.inf, -7.0, -0.5, -1e-6, 0.0, 1e-6, 0.5, 7.0, torch.inf])
    with torch.no_grad():
        tried: Tensor = function(probe)
    return bool(((tried == 0) | (tried == 1)).all())


def state_tensors(neuron: nn.Module) -> tuple[Tensor, ...]:
    """Return the state variables after an update."""
    return tuple(getattr(neuron, name) for name in STATE[type(neuron)])
