"""What one layer of neurons did, kept on its device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikeport.benchmarks.counting.torch_counter.marks import column_sums, mark
from spikeport.benchmarks.counting.torch_counter.neurons import emits_binary, state_tensors
from spikeport.benchmarks.counting.torch_counter.tally import Sums


class SpikeTally:
    """Counts the spikes and updates of `neuron`."""

    def __init__(self, neuron: nn.Module) -> None:
        self.binary = emits_binary(neuron)
        self.updates = 0
        self.emitted = 0
        self.neurons = 0
        self.state = 0
        self.state_bytes = 0
        self.touched = 0
        self._sums: dict[tuple[torch.Size, torch.device], Sums] = {}

    def add(self, spikes: Tensor, neuron: nn.Module, batch: int) -> None:
        """Count one update's output, and mark it for the layers behind."""
        spikes = spikes if not spikes.requires_grad else spikes.detach()
        rows = len(spikes) if spikes.ndim > 1 else 1
        z_RN = spikes.reshape(rows, -1)
        sums = column_sums(z_RN if self.binary else z_RN.bool().to(torch.float32))
        held = self._sums.get((spikes.shape, spikes.device))
        if held is None:
            held = self._sums[spikes.shape, spikes.device] = Sums(len(sums), spikes.device)
        held.add(sums, rows)
        self._account(spikes, neuron, batch)
        if self.binary:
            mark(spikes, sums)

    def _account(self, spikes: Tensor, neuron: nn.Module, batch: int) -> None:
        state = state_tensors(neuron)
        elements = sum(t.numel() for t in state)
        self.updates += state[-1].numel()
        self.emitted += spikes.numel()
        self.touched += elements
        if elements > self.state * batch:
            self.neurons = state[-1].numel() // batch
            self.state = elements // batch
            self.state_bytes = sum(t.numel() * t.element_size() for t in state) // batch

    def read(self) -> int:
        """Return the spikes."""
        return sum(int(sums.flush().sum()) for sums in self._sums.values())
