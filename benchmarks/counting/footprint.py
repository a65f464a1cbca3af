"""What a torch model stores: parameters, constant buffers, and the neuron state of one sample."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from spikeport.benchmarks import blocks
from spikeport.benchmarks.counting.torch_counter.neurons import STATE
from spikeport.errors import UnfaithfulError
from spikeport.models.state import neurons


def footprint(model: nn.Module, samples: int) -> blocks.Footprint:
    """Return what `model` stores, having just run a batch of `samples` samples.

    Neuron state is no constant buffer, whatever snnTorch registers it as, and is that of one sample.

    Raises:
        UnfaithfulError: it has a neuron whose state variables are not known, or that did not run this batch.
    """
    state: list[Tensor] = []
    for path, neuron in neurons(model).items():
        if type(neuron) not in STATE:
            reason = f"the state variables of {type(neuron).__name__} are not known"
            raise UnfaithfulError(f"neuron '{path}'", reason, "Use one of snnTorch's own neurons")
        state += [getattr(neuron, name) for name in STATE[type(neuron)]]
        if any(not t.dim() or len(t) != samples for t in state):
            reason = f"its state is not that of {samples} samples"
            raise UnfaithfulError(f"neuron '{path}'", reason, "Run all samples in one batch first")
    states = {id(tensor) for tensor in state}
    return blocks.Footprint(
        parameters=sum(p.numel() for p in model.parameters()),
        parameter_bytes=_bytes(model.parameters()),
        buffer_bytes=_bytes(b for b in model.buffers() if id(b) not in states),
        state_bytes=_bytes(state) // samples,
    )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
