"""Random snnTorch steps over everything that the exporter takes, in float64, with the features that each has."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from random_draws import Draws, Shape
from random_layers import Drawn, conv1d, conv2d, dense, norm, pool1d, pool2d, size_after
from random_neurons import STATES, random_neuron
from snntorch import utils
from torch import Tensor, nn

Op = Callable[[list[Tensor], Any], Tensor]

OPERATIONS: dict[str, Op] = {
    "sum": lambda x, extra: x[0] + x[1],
    "difference": lambda x, extra: x[0] - x[1],
    "double": lambda x, extra: x[0] + x[0],
    "scale": lambda x, extra: x[0] * extra,
    "divide": lambda x, extra: x[0] / extra,
    "negate": lambda x, extra: -x[0],
    "plus 0": lambda x, extra: x[0] + 0,
    "plus 1": lambda x, extra: x[0] + 1,
    "concatenation": lambda x, extra: torch.cat([x[0], x[1]], dim=1),
    "flatten": lambda x, extra: torch.flatten(x[0], 1),
    "view": lambda x, extra: x[0].view(x[0].size(0), -1),
    "dropout": lambda x, extra: F.dropout(x[0], training=False),
    "host product": lambda x, extra: x[0] * x[1],
    "host relu": lambda x, extra: F.relu(x[0]),
    "sum in place": lambda x, extra: operator.iadd(x[0], x[1]),
    "sum in place, by method": lambda x, extra: x[0].add_(x[1]),
    "scale in place": lambda x, extra: x[0].mul_(extra),
    "relu in place": lambda x, extra: F.relu(x[0], inplace=True),
}

OF_TWO = ("sum", "difference", "concatenation", "host product", "sum in place", "sum in place, by method")
IN_PLACE = tuple(name for name in OPERATIONS if "in place" in name)


class RandomStep(nn.Module):
    """One time step: `layers`, and a program of operations on numbered values.

    Attributes:
        features: what is in it.
        shapes: of the inputs x and y.
    """

    def __init__(self, seed: int, shared: bool = False) -> None:
        super().__init__()
        self.draws = Draws(seed, shared)
        self.features = self.draws.features
        self.layers, self.constants = nn.ModuleList(), nn.ParameterList()
        self.program: list[tuple[str, tuple[int, ...], Any]] = []
        self.spiking: list[int] = []
        self.states: dict[str, int] = {}  # forward's arguments that are states, and the values that they become
        self.inputs_of: dict[int, Shape] = {}
        self.shapes = [self._shape(), self._shape()]
        self.sizes: list[Shape] = list(self.shapes)
        self.resets = self.draws.chance(0.03)
        if self.resets:
            self.features.add("reset in forward")
        self._build()
        self._bind()

    def run(self, x: Tensor, y: Tensor, states: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Run the program; fx unrolls it."""
        if self.resets:
            utils.reset(self.layers)  # it looks at a module's own children only
        values = [x, y]
        for kind, sources, extra in self.program:
            arguments = [values[i] for i in sources]
            if kind == "layer":
                values.append(self.layers[extra](arguments[0]))
            elif kind == "constant":
                values.append(arguments[0] * self.constants[extra])
            elif kind == "neuron by hand":
                layer, names, returned = extra
                given = [states[name] for name in names]
                results = self.layers[layer](arguments[0], *given)
                values += [results[i] for i in range(returned)]  # a traced value has no length
            else:
                values.append(OPERATIONS[kind](arguments, extra))
        return tuple(values[i] for i in self.returned)

    def _bind(self) -> None:
        """Give the class a forward with one argument a state: fx reads them off its signature."""
        names = list(self.states)
        given = ", ".join(f"{n!r}: {n}" for n in names)
        scope: dict[str, Any] = {}
        exec(f"def forward(self, {', '.join(['x', 'y', *names])}): return self.run(x, y, {{{given}}})", scope)
        self.__class__ = type("RandomStep", (RandomStep,), scope)

    def _build(self) -> None:
        for _ in range(self.draws.integer(2, 5)):
            self._block(self._source())
        last = self._neuron(self._weights(self._source(last=True)))
        if self.draws.chance(0.02):
            last = self._layer_again(last)
        if self.draws.chance(0.25):
            flat = self._flat(last) if len(self.sizes[last]) > 1 else last
            last = self._drawn(dense(self.draws, self.sizes[flat]), flat)
            self.features.add("linear read-out")
        self.returned = [last]
        if len(self.spiking) > 1 and self.draws.chance(0.3):
            self.returned.append(self.spiking[0])
            self.features.add("several outputs")
        self.returned += [value for value in self.states.values() if value not in self.returned]

    def _source(self, last: bool = False) -> int:
        """Choose a value to go on from; seldom a neuron's state, which not every neuron has as a node."""
        states = {*self.states.values()} - set(self.spiking)
        values = [i for i in range(len(self.sizes)) if i not in states]
        if states and self.draws.chance(0.06):
            self.features.add("state read")
            return self.draws.choice(sorted(states))
        return values[-1] if last else self.draws.choice(values)

    def _shape(self) -> Shape:
        rank = self.draws.choice([1, 1, 2, 2, 3, 3])
        return {
            1: lambda: (self.draws.integer(2, 8),),
            2: lambda: (self.draws.integer(1, 4), self.draws.integer(4, 9)),
            3: lambda: tuple(int(n) for n in self.draws.rng.integers((1, 4, 4), (4, 8, 8))),
        }[rank]()

    def _block(self, value: int) -> None:
        """Weights, perhaps arithmetic, a neuron, perhaps pooling."""
        value = self._weights(value)
        if len(self.sizes[value]) > 1 and min(self.sizes[value][1:]) >= 2 and self.draws.chance(0.15):
            pool = nn.MaxPool2d(2, stride=1) if len(self.sizes[value]) == 3 else nn.MaxPool1d(2, stride=1)
            value = self._drawn((pool, size_after(pool, self.sizes[value]), "MaxPool of values"), value)
        if self.draws.chance(0.06):
            value = self._drawn((nn.ReLU(inplace=True), self.sizes[value], "ReLU in place"), value)
        if self.draws.chance(0.5):
            value = self._arithmetic(value)
        value = self._neuron(value)
        if len(self.sizes[value]) > 1 and min(self.sizes[value][1:]) >= 2 and self.draws.chance(0.6):
            self._drawn((pool2d if len(self.sizes[value]) == 3 else pool1d)(self.draws, self.sizes[value]), value)

    def _put(self, feature: str, kind: str, sources: tuple[int, ...], extra: Any, size: Shape) -> int:
        self.features.add(feature)
        self.program.append((kind, sources, extra))
        self.sizes.append(size)
        return len(self.sizes) - 1

    def _drawn(self, drawn: Drawn, value: int) -> int:
        layer, size, feature = drawn
        self.layers.append(layer)
        self.inputs_of[len(self.layers) - 1] = self.sizes[value]
        return self._put(feature, "layer", (value,), len(self.layers) - 1, size)

    def _weights(self, value: int) -> int:
        shared = [i for i, s in self.inputs_of.items() if s == self.sizes[value] and hasattr(self.layers[i], "weight")]
        shared = [i for i in shared if isinstance(self.layers[i], nn.Linear | nn.Conv1d | nn.Conv2d)]
        if shared and self.draws.chance(0.3):
            again = self.draws.choice(shared)
            return self._put("shared weights", "layer", (value,), again, self.sizes[self._result(again)])
        size = self.sizes[value]
        if len(size) > 1 and min(size[1:]) >= 2 and self.draws.chance(0.6):
            value = self._drawn((conv2d if len(size) == 3 else conv1d)(self.draws, size), value)
            return self._normed(value, 0.3)
        if len(size) > 1:
            value = self._flat(value)
        value = self._normed(self._drawn(dense(self.draws, self.sizes[value]), value), 0.25)
        if self.draws.chance(0.15):
            value = self._drawn((nn.Dropout(0.5), self.sizes[value], "Dropout"), value)
        return value

    def _result(self, layer: int) -> int:
        """Return the first value that a layer gives."""
        place = len(self.shapes)
        for kind, _, extra in self.program:
            if kind == "layer" and extra == layer:
                return place
            place += extra[2] if kind == "neuron by hand" else 1
        raise AssertionError(layer)

    def _normed(self, value: int, p: float) -> int:
        # A norm's factors are on no grid.
        there = self.draws.chance(p) and not self.draws.grid
        return self._drawn(norm(self.draws, self.sizes[value]), value) if there else value

    def _flat(self, value: int) -> int:
        flat = (int(np.prod(self.sizes[value])),)
        kind = self.draws.choice(["flatten", "view", "layer"])
        if kind == "layer":
            return self._drawn((nn.Flatten(), flat, "Flatten"), value)
        return self._put(kind, kind, (value,), None, flat)

    def _arithmetic(self, value: int) -> int:
        size = self.sizes[value]
        states = {*self.states.values()} - set(self.spiking)
        mates = [i for i, s in enumerate(self.sizes) if s == size and i not in states and i != value]
        single = [k for k in (*OPERATIONS, "constant") if k not in (*OF_TWO, "flatten", "view", "plus 1")]
        kinds = list(OF_TWO) if mates and self.draws.chance(0.6) else single
        kinds = [k for k in kinds if k not in IN_PLACE] if self.draws.chance(0.75) else kinds
        kind = self.draws.choice(kinds)
        if kind in OF_TWO:
            total = (2 * size[0], *size[1:]) if kind == "concatenation" else size
            return self._put(kind, kind, (value, self.draws.choice(mates)), None, total)
        if kind == "constant":
            self.constants.append(nn.Parameter(self.draws.uniform(size, -1.5, 1.5)))
            return self._put("constant by element", kind, (value,), len(self.constants) - 1, size)
        if kind == "plus 0" and self.draws.chance(0.1):
            return self._put("plus 1", "plus 1", (value,), None, size)
        return self._put(kind, kind, (value,), self.draws.choice([-1.5, 0.25, 0.5, 3.0]), size)

    def _neuron(self, value: int) -> int:
        size = self.sizes[value]
        layer, kind = random_neuron(self.draws, size)
        if layer.init_hidden:
            spikes = self._drawn((layer, size, kind), value)
        else:
            spikes = self._neuron_by_hand(layer, kind, value)
        self.spiking.append(spikes)
        return spikes

    def _neuron_by_hand(self, layer: nn.Module, kind: str, value: int) -> int:
        self.layers.append(layer)
        number = len(self.layers) - 1
        names = [f"{state}_{number}" for state in STATES[kind]]
        results = ["spk", *(s for s in STATES[kind] if s != "spk")]
        spikes = self._put(kind, "neuron by hand", (value,), (number, names, len(results)), self.sizes[value])
        self.sizes += [self.sizes[value]] * (len(results) - 1)
        for state, name in zip(STATES[kind], names, strict=True):
            self.states[name] = spikes + results.index(state)
        return spikes

    def _layer_again(self, value: int) -> int:
        """Call the neuron that gave `value` a second time."""
        kind, _, extra = self.program[-1]
        return value if kind != "layer" else self._put("neuron used twice", kind, (value,), extra, self.sizes[value])


def random_case(
    seed: int, steps: int = 50, batch: int = 2, shared: bool = False
) -> tuple[RandomStep, dict[str, Tensor]]:
    """Return a random step in float64 with a sample of spikes, or now and then of values."""
    torch.manual_seed(seed)
    model = RandomStep(seed, shared).double()
    rng = np.random.default_rng(seed + 1_000_000)
    values = rng.random() < 0.2 and not model.draws.grid
    draws = [
        rng.normal(0.3, 1, (steps, batch, *s)) if values else rng.random((steps, batch, *s)) < 0.4 for s in model.shapes
    ]
    return model, dict(zip("xy", [torch.tensor(np.asarray(d, dtype=np.float64)) for d in draws], strict=True))
