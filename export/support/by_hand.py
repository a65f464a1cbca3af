"""What the user's own loop hands on from step to step: `spk, mem = lif(cur, mem)`, `h = cell(x, h)`, `prev`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import snntorch
from torch import Tensor, nn

from spikeport.export.support.cases import IMAGE, Case, leaky
from spikeport.export.support.neurons import GROUP

SETTING = "states passed by hand"
FEEDBACK = "its state named as feedback"


def by_hand_cases() -> Iterator[Case]:
    """Yield one case for each neuron that has states to pass."""
    yield Case(GROUP, "Leaky", SETTING, lambda: OneState(snntorch.Leaky(0.8, threshold=0.4)))
    yield Case(GROUP, "Lapicque", SETTING, lambda: OneState(snntorch.Lapicque(0.8, threshold=0.4)))
    yield Case(GROUP, "Synaptic", SETTING, lambda: TwoStates(snntorch.Synaptic(0.6, 0.8, threshold=0.4)))
    yield Case(
        GROUP,
        "Alpha",
        SETTING,
        lambda: ThreeStates(snntorch.Alpha(0.9, 0.8, threshold=0.4, reset_mechanism="none")),
    )
    yield Case(GROUP, "RLeaky", SETTING, lambda: RecurrentState(snntorch.RLeaky(0.8, linear_features=8, threshold=0.4)))
    yield Case(
        GROUP,
        "RSynaptic",
        SETTING,
        lambda: RecurrentStates(snntorch.RSynaptic(0.6, 0.8, linear_features=8, threshold=0.4)),
    )
    yield Case(GROUP, "SLSTM", SETTING, lambda: Behind(snntorch.SLSTM(8, 8, threshold=0.05)))
    yield Case(
        GROUP, "SConv2dLSTM", SETTING, lambda: Behind(snntorch.SConv2dLSTM(2, 3, 3, threshold=0.05), conv=True), IMAGE
    )


def feedback_cases() -> Iterator[Case]:
    """Yield the loops that the user names, `feedback={"prev": 0}`."""
    for name, cell in (("RNNCell", nn.RNNCell), ("GRUCell", nn.GRUCell)):
        yield Case("Layers", name, FEEDBACK, lambda cell=cell: Hidden(cell(8, 8)), feedback=(("prev", 1),))  # type: ignore[misc]
    yield Case("Layers", "LSTMCell", FEEDBACK, lambda: TwoHidden(nn.LSTMCell(8, 8)), feedback=(("h", 1), ("c", 2)))
    yield Case("Calls", "feedback by hand", "`forward(x, prev)`", FedBack, feedback=(("prev", 0),))


class ByHand(nn.Module):
    """snnTorch's documented style: `spk, mem = lif(cur, mem)`, the states being forward's arguments."""

    def __init__(self, it: nn.Module) -> None:
        super().__init__()
        self.before, self.it = nn.Linear(8, 8), it


class OneState(ByHand):
    """A membrane."""

    def forward(self, x: Tensor, mem: Tensor) -> Any:
        """Return the spikes and the membrane."""
        spk, mem = self.it(self.before(x), mem)
        return spk, mem


class TwoStates(ByHand):
    """A current and a membrane."""

    def forward(self, x: Tensor, syn: Tensor, mem: Tensor) -> Any:
        """Return the spikes, the current and the membrane."""
        spk, syn, mem = self.it(self.before(x), syn, mem)
        return spk, syn, mem


class ThreeStates(ByHand):
    """Two currents and a membrane."""

    def forward(self, x: Tensor, syn_exc: Tensor, syn_inh: Tensor, mem: Tensor) -> Any:
        """Return the spikes, the currents and the membrane."""
        spk, syn_exc, syn_inh, mem = self.it(self.before(x), syn_exc, syn_inh, mem)
        return spk, syn_exc, syn_inh, mem


class RecurrentState(ByHand):
    """The spikes of the step before, and a membrane."""

    def forward(self, x: Tensor, spk: Tensor, mem: Tensor) -> Any:
        """Return the spikes and the membrane."""
        spk, mem = self.it(self.before(x), spk, mem)
        return spk, mem


class RecurrentStates(ByHand):
    """The spikes of the step before, a current and a membrane."""

    def forward(self, x: Tensor, spk: Tensor, syn: Tensor, mem: Tensor) -> Any:
        """Return the spikes, the current and the membrane."""
        spk, syn, mem = self.it(self.before(x), spk, syn, mem)
        return spk, syn, mem


class Behind(nn.Module):
    """A neuron with two states, in front of one on the chip."""

    def __init__(self, it: nn.Module, conv: bool = False) -> None:
        super().__init__()
        self.before = nn.Conv2d(2, 2, 3, padding=1) if conv else nn.Linear(8, 8)
        self.it, self.after = it, leaky(threshold=0.1)

    def forward(self, x: Tensor, syn: Tensor, mem: Tensor) -> Any:
        """Return the spikes behind it, the current and the membrane."""
        spk, syn, mem = self.it(self.before(x), syn, mem)
        return self.after(spk), syn, mem


class Hidden(nn.Module):
    """A recurrent cell with one hidden state, in front of a neuron."""

    def __init__(self, it: nn.Module) -> None:
        super().__init__()
        self.it, self.other, self.after = it, nn.Linear(8, 8), leaky(threshold=0.1)

    def forward(self, x: Tensor, prev: Tensor) -> Any:
        """Return the spikes and the hidden state."""
        now = self.it(x, prev)
        return self.after(self.other(now)), now


class TwoHidden(Hidden):
    """A recurrent cell with two hidden states, in front of a neuron."""

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> Any:  # type: ignore[override]
        """Return the spikes and the hidden states."""
        h, c = self.it(x, (h, c))
        return self.after(self.other(h)), h, c


class FedBack(nn.Module):
    """A neuron that hears its own spikes of the step before, through weights."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.it, self.after = nn.Linear(8, 8), nn.Linear(8, 8), leaky()

    def forward(self, x: Tensor, prev: Tensor) -> Any:
        """Return the spikes."""
        return self.after(self.before(x) + self.it(prev))
