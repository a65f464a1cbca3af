"""What one layer of neurons did, kept on its device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikeport.benchmarks.counting.torch_counter.marks import column_sums, mark
from spikeport.benchmarks.counting.torch_counter.neurons import emits_binary, state_tensors
from spikeport.benchmarks.counting.torch_counter.tally import Sums

_Key = tuple[torch.Size, torch.Size, torch.device]


@dataclass
class _Form:
    """Updates that all have the same shapes: how many, their spikes, and the elements that each touches."""

    sums: Sums
    rows: int
    updates: int
    emitted: int
    state: int
    calls: int = 0


class SpikeTally:
    """Counts the spikes and updates of `neuron`."""

    def __init__(self, neuron: nn.Module) -> None:
        self.binary = emits_binary(neuron)
        self.neurons = 0
        self.state = 0
        self.state_bytes = 0
        self._neuron = neuron
        self._forms: dict[_Key, _Form] = {}
        self._last: tuple[_Key, _Form] | None = None

    def start(self) -> None:
        """Begin a batch, which may be of another size."""
        self._last = None

    def add(self, spikes: Tensor, x: Tensor, batch: int) -> None:
        """Count the update that made `spikes` of `x`, and mark them for the layers behind."""
        key = (spikes.shape, x.shape, spikes.device)
        if self._last is None or key != self._last[0]:
            self._last = (key, self._open(key, spikes, batch))
        form = self._last[1]
        form.calls += 1
        z_RN = spikes.detach() if spikes.requires_grad else spikes
        if z_RN.ndim != 2:
            z_RN = z_RN.reshape(form.rows, -1)
        sums = column_sums(z_RN if self.binary else z_RN.bool().to(torch.float32))
        form.sums.add(sums, form.rows)
        if self.binary:
            mark(spikes, sums)

    def _open(self, key: _Key, spikes: Tensor, batch: int) -> _Form:
        """Look at the state once a batch and shape: the state's shape follows from the input's."""
        state = state_tensors(self._neuron)
        elements = sum(t.numel() for t in state)
        rows = len(spikes) if spikes.ndim > 1 else 1
        if key not in self._forms:
            sums = Sums(spikes.numel() // max(rows, 1), spikes.device)
            self._forms[key] = _Form(sums, rows, state[-1].numel(), spikes.numel(), elements)
        if elements > self.state * batch:
            self.neurons = state[-1].numel() // batch
            self.state = elements // batch
            self.state_bytes = sum(t.numel() * t.element_size() for t in state) // batch
        return self._forms[key]

    @property
    def updates(self) -> int:
        """Neurons times steps."""
        return sum(form.calls * form.updates for form in self._forms.values())

    @property
    def emitted(self) -> int:
        """Elements handed on."""
        return sum(form.calls * form.emitted for form in self._forms.values())

    @property
    def touched(self) -> int:
        """State elements read, and written."""
        return sum(form.calls * form.state for form in self._forms.values())

    def read(self) -> int:
        """Return the spikes."""
        return sum(int(form.sums.flush().sum()) for form in self._forms.values())
