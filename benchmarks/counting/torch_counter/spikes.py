"""What one layer of neurons did, kept on its device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from spikeport.benchmarks.counting.torch_counter.apart import Apart
from spikeport.benchmarks.counting.torch_counter.compiled import Nonzero, pays
from spikeport.benchmarks.counting.torch_counter.ledger import Ledger
from spikeport.benchmarks.counting.torch_counter.marks import column_sums, mark
from spikeport.benchmarks.counting.torch_counter.neurons import emits_binary, state_tensors
from spikeport.benchmarks.counting.torch_counter.tally import Sums

_Key = tuple[torch.Size, torch.Size, torch.device]


@dataclass
class _Form:
    """Updates that all have the same shapes: how many, their spikes, and the elements that each touches."""

    rows: int
    updates: int
    emitted: int
    state: int
    one_pass: Nonzero | None
    sums: Sums | None = None
    calls: int = 0


class SpikeTally:
    """Counts the spikes and updates of `neuron`.

    Args:
        name: its own.
        neuron: of a known kind.
        ledger: of the model.
    """

    def __init__(self, name: str, neuron: nn.Module, ledger: Ledger) -> None:
        self.name = name
        self.apart: Apart | None = None
        self._ledger = ledger
        self.neurons = 0
        self.state = 0
        self.state_bytes = 0
        self._neuron = neuron
        self._forms: dict[_Key, _Form] = {}
        self._last: tuple[_Key, _Form] | None = None

    @cached_property
    def _binary(self) -> bool:
        return emits_binary(self._neuron)

    def start(self, samples: int) -> None:
        """Begin a batch, which may be of another size."""
        self._last = None
        if self.apart is not None:
            self.apart.start(samples)

    def add(self, spikes: Tensor, x: Tensor) -> None:
        """Count the update that made `spikes` of `x`, and mark them for the layers behind."""
        key = (spikes.shape, x.shape, spikes.device)
        if self._last is None or key != self._last[0]:
            self._last = (key, self._open(key, spikes))
        form = self._last[1]
        form.calls += 1
        if self.apart is not None:
            self.apart.add(spikes.detach().bool().reshape(form.rows, -1).sum(1).double()[None], form.rows)
        if form.one_pass is not None and form.one_pass.add(spikes):
            return
        z_RN = spikes.detach() if spikes.requires_grad else spikes
        if z_RN.ndim != 2:
            z_RN = z_RN.reshape(form.rows, -1)
        sums = column_sums(z_RN if self._binary else z_RN.bool().to(torch.float32))
        if form.sums is None:
            form.sums = Sums(len(sums), spikes.device)
        form.sums.add(sums, form.rows)
        if self._binary:
            mark(spikes, sums)

    def _open(self, key: _Key, spikes: Tensor) -> _Form:
        """Look at the state once a batch and shape: the state's shape follows from the input's."""
        state = state_tensors(self._neuron)
        elements = sum(t.numel() for t in state)
        rows = len(spikes) if spikes.ndim > 1 else 1
        if self.apart is None:
            self.apart = self._ledger.apart(f"neuron '{self.name}'", 1, spikes.device)
        if key not in self._forms:
            one_pass = Nonzero() if spikes.is_cpu and pays(spikes.numel()) else None
            self._forms[key] = _Form(rows, state[-1].numel(), spikes.numel(), elements, one_pass)
        held = _samples(state[-1], self._ledger.batches[-1])
        if elements > self.state * held:
            self.neurons = state[-1].numel() // held
            self.state = elements // held
            self.state_bytes = sum(t.numel() * t.element_size() for t in state) // held
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
        forms = self._forms.values()
        found = sum(form.one_pass.total for form in forms if form.one_pass is not None)
        return found + sum(int(form.sums.flush().sum()) for form in forms if form.sums is not None)


def _samples(state: Tensor, batch: int) -> int:
    """Return of how many samples this is the state; where its rows are not whole samples, each is one's."""
    rows = len(state) if state.ndim else 1
    return rows if rows % batch else batch
