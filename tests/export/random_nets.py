"""Random snnTorch steps over everything that the exporter takes, in float64, with the features that each has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import snntorch as snn
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Op = Callable[[list[Tensor]], Tensor]


def heaviside(x: Tensor) -> Tensor:
    """A surrogate that keeps float64; snnTorch's own return float32 whatever comes in."""
    return (x > 0).to(x.dtype)


class RandomStep(nn.Module):
    """One time step: `layers` by name, and a program of operations on numbered values.

    Attributes:
        features: what is in it.
        shapes: of the inputs.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        self.features: set[str] = set()
        self.layers = nn.ModuleList()
        self.program: list[tuple[str, tuple[int, ...], object]] = []
        self.spiking: set[int] = set()
        self.shapes: list[tuple[int, ...]] = []
        self.sizes: list[tuple[int, ...]] = []
        self.two = bool(self.rng.random() < 0.3)
        self._build()

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Run the program; fx unrolls it."""
        values = [x, y]
        for kind, sources, extra in self.program:
            values.append(self._compute(kind, [values[i] for i in sources], extra))
        return tuple(values[i] for i in self.returned)

    def _compute(self, kind: str, x: list[Tensor], extra: object) -> Tensor:
        if kind == "layer":
            return self.layers[extra](x[0])  # type: ignore[index]
        return {
            "add": lambda: x[0] + x[1],
            "sub": lambda: x[0] - x[1],
            "double": lambda: x[0] + x[0],
            "scale": lambda: x[0] * extra,
            "divide": lambda: x[0] / extra,
            "negate": lambda: -x[0],
            "cat": lambda: torch.cat([x[0], x[1]], dim=1),
            "flatten": lambda: torch.flatten(x[0], 1),
            "view": lambda: x[0].view(x[0].size(0), -1),
            "dropout": lambda: F.dropout(x[0], training=False),
            "product": lambda: x[0] * x[1],
            "relu": lambda: F.relu(x[0]),
        }[kind]()

    def _build(self) -> None:
        self.shapes = [self._shape(), self._shape()]
        self.sizes = list(self.shapes)
        for _ in range(int(self.rng.integers(2, 5))):
            self._block(int(self.rng.integers(len(self.sizes))))
        last = self._neuron(self._weights(len(self.sizes) - 1))
        neurons = sorted(self.spiking)
        self.returned = [last, *([neurons[0]] if len(neurons) > 1 and self._chance(0.3) else [])]
        if len(self.returned) > 1:
            self.features.add("several outputs")
        self.features.add("two inputs")

    def _shape(self) -> tuple[int, ...]:
        if self._chance(0.5):
            return (int(self.rng.integers(2, 8)),)
        c, h, w = (int(n) for n in self.rng.integers((1, 4, 4), (4, 8, 8)))
        return (c, h, w)

    def _block(self, value: int) -> None:
        """Weights, perhaps arithmetic, a neuron, perhaps pooling."""
        value = self._weights(value)
        if self._chance(0.4):
            value = self._arithmetic(value)
        value = self._neuron(value)
        if len(self.sizes[value]) == 3 and self._chance(0.4):
            self._pool(value)

    def _chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def _put(self, feature: str, kind: str, sources: tuple[int, ...], extra: object, size: tuple[int, ...]) -> int:
        self.features.add(feature)
        self.program.append((kind, sources, extra))
        self.sizes.append(size)
        return len(self.sizes) - 1

    def _layer(self, feature: str, layer: nn.Module, value: int, size: tuple[int, ...]) -> int:
        self.layers.append(layer)
        return self._put(feature, "layer", (value,), len(self.layers) - 1, size)

    def _weights(self, value: int) -> int:
        size = self.sizes[value]
        if len(size) == 3 and min(size[1:]) >= 2 and self._chance(0.6):
            return self._conv(value)
        if len(size) == 3:
            kind = str(self.rng.choice(["flatten", "view", "layer"]))
            flat = (int(np.prod(size)),)
            value = (
                self._layer("Flatten", nn.Flatten(), value, flat)
                if kind == "layer"
                else self._put(kind, kind, (value,), None, flat)
            )
        out = int(self.rng.integers(2, 9))
        bias = self._chance(0.7)
        layer = nn.Linear(self.sizes[value][0], out, bias=bias)
        _strengthen(layer, self.rng)
        value = self._layer("Linear" if bias else "Linear without bias", layer, value, (out,))
        if self._chance(0.25):
            value = self._layer("BatchNorm1d", _norm(nn.BatchNorm1d(out), self.rng), value, (out,))
        if self._chance(0.15):
            value = self._layer("Dropout", nn.Dropout(0.5), value, (out,))
        return value

    def _conv(self, value: int) -> int:
        c, h, w = self.sizes[value]
        groups = c if self._chance(0.2) else 1
        out = int(self.rng.integers(1, 4)) * groups
        kernel = tuple(int(k) for k in self.rng.integers(1, 1 + min(3, h, w), 2))
        # torch warns of 'same' with even kernels.
        same = self._chance(0.3) and all(k % 2 for k in kernel)
        stride = (1, 1) if same else tuple(int(s) for s in self.rng.integers(1, 3, 2))
        padding = "same" if same else tuple(int(p) for p in self.rng.integers(0, 2, 2))
        dilation = 2 if self._chance(0.2) and min(h, w) >= 5 else 1
        layer = nn.Conv2d(c, out, kernel, stride, padding, dilation, groups, bias=self._chance(0.7))
        _strengthen(layer, self.rng)
        size = tuple(layer(torch.zeros(1, c, h, w)).shape[1:])
        for feature, there in (
            ("grouped conv", groups > 1),
            ("dilated conv", dilation > 1),
            ("non-square conv", kernel[0] != kernel[1]),
            ("same padding", same),
            ("strided conv", max(stride) > 1),
        ):
            if there:
                self.features.add(feature)
        value = self._layer("Conv2d", layer, value, size)
        if self._chance(0.3):
            value = self._layer("BatchNorm2d", _norm(nn.BatchNorm2d(out), self.rng), value, size)
        return value

    def _arithmetic(self, value: int) -> int:
        size = self.sizes[value]
        mates = [i for i, s in enumerate(self.sizes) if s == size and i != value]
        kind = str(self.rng.choice(["add", "sub", "double", "scale", "divide", "negate", "cat", "dropout", "product"]))
        if kind in ("add", "sub", "cat", "product") and not mates:
            kind = "double"
        if kind in ("add", "sub", "cat", "product"):
            mate = int(self.rng.choice(mates))
            total = (2 * size[0], *size[1:]) if kind == "cat" else size
            feature = {"add": "sum", "sub": "difference", "cat": "concatenation", "product": "host product"}[kind]
            return self._put(feature, kind, (value, mate), None, total)
        factor = float(self.rng.choice([-1.5, 0.25, 0.5, 3.0]))
        return self._put(kind, kind, (value,), factor, size)

    def _pool(self, value: int) -> int:
        c, h, w = self.sizes[value]
        if min(h, w) < 2:
            return value
        kind = str(self.rng.choice(["avg", "max", "adaptive"]))
        if kind == "adaptive":
            return self._layer("AdaptiveAvgPool2d", nn.AdaptiveAvgPool2d(1), value, (c, 1, 1))
        layer = nn.AvgPool2d(2, padding=int(self.rng.integers(2))) if kind == "avg" else nn.MaxPool2d(2, stride=1)
        size = tuple(layer(torch.zeros(1, c, h, w)).shape[1:])
        return self._layer("AvgPool2d" if kind == "avg" else "MaxPool2d of spikes", layer, value, size)

    def _neuron(self, value: int) -> int:
        size = self.sizes[value]
        kind = str(self.rng.choice(["Leaky"] * 4 + ["Synaptic", "Lapicque", "Alpha", "RLeaky", "RSynaptic"]))
        reset = str(self.rng.choice(["zero", "subtract", "none"]))
        delay = True
        if self._chance(0.95):
            # Mostly what NIR can say; the rest must be refused.
            reset = {"Alpha": "none"}.get(kind, reset)
            reset = "subtract" if reset == "zero" and kind in ("Lapicque", "RSynaptic") else reset
        else:
            delay = self._chance(0.3)
        if reset != "subtract" and kind != "RSynaptic":
            delay = delay and self._chance(0.7)
        settings: dict[str, object] = {
            "init_hidden": True,
            "reset_mechanism": reset,
            "spike_grad": heaviside,
            "threshold": self._parameter(size, 0.5, 1.5)
            if self._chance(0.4)
            else float(self.rng.choice([0, 0.5, 1, 3])),
        }
        if self._chance(0.4):
            settings["threshold"] = self._parameter(size, 0.5, 1.5)
        layer = self._make(kind, size, settings, reset, delay)
        self.features |= {kind, f"{kind} {reset}"}
        value = self._layer(kind, layer, value, size)
        self.spiking.add(value)
        return value

    def _make(
        self, kind: str, size: tuple[int, ...], settings: dict[str, object], reset: str, delay: bool
    ) -> nn.Module:
        beta: object = float(self.rng.choice([0.0, 0.3, 0.8, 0.9, 1.0, 1.2]))
        if self._chance(0.4):
            beta = self._parameter(size, 0.1, 0.95)
            self.features.add("beta by element")
        if kind == "Leaky":
            if self._chance(0.2):
                settings["graded_spikes_factor"] = float(self.rng.choice([0.5, -2.0]))
                self.features.add("graded spikes")
            if self._chance(0.2):
                settings["learn_beta"] = settings["learn_threshold"] = True
                self.features.add("learned parameters")
            return snn.Leaky(beta, reset_delay=delay, **settings)
        if kind == "Synaptic":
            alpha = float(self.rng.choice([0.0, 0.5, 0.9, 1.0]))
            return snn.Synaptic(alpha, beta, reset_delay=delay and reset != "zero", **settings)
        if kind == "Lapicque":
            return snn.Lapicque(beta=float(self.rng.choice([0.4, 0.8, 0.9])), **settings)
        if kind == "Alpha":
            return snn.Alpha(alpha=0.9, beta=float(self.rng.choice([0.3, 0.8])), **settings)
        shape = {"linear_features": size[0]} if len(size) == 1 else {"conv2d_channels": size[0], "kernel_size": 3}
        if self._chance(0.3):
            shape = {"all_to_all": False, "V": float(self.rng.normal())}
        if kind == "RLeaky":
            return snn.RLeaky(beta, reset_delay=delay and reset != "zero", **shape, **settings)
        return snn.RSynaptic(0.6, beta, **shape, **settings)

    def _parameter(self, size: tuple[int, ...], low: float, high: float) -> Tensor:
        shape = size if self._chance(0.5) else (size[0], *(1,) * (len(size) - 1))
        return torch.tensor(self.rng.uniform(low, high, shape))


def _strengthen(layer: nn.Linear | nn.Conv2d, rng: np.random.Generator) -> None:
    """Some layers drive their neurons hard, some hardly at all: saturated and silent ones are among them."""
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rng.normal(0, 1, layer.weight.shape)) * float(rng.choice([0.2, 1.0, 1.0, 3.0])))
        if layer.bias is not None:
            layer.bias.copy_(torch.tensor(rng.normal(0.2, 0.4, layer.bias.shape)))


def _norm(layer: nn.BatchNorm1d | nn.BatchNorm2d, rng: np.random.Generator) -> nn.Module:
    for tensor, low, high in (
        (layer.running_mean, -1, 1),
        (layer.running_var, 0.3, 2),
        (layer.weight.data, -1.5, 1.5),
        (layer.bias.data, -1, 1),
    ):
        tensor.copy_(torch.tensor(rng.uniform(low, high, tensor.shape)))
    return layer


def random_case(seed: int, steps: int = 50, batch: int = 2) -> tuple[RandomStep, dict[str, Tensor]]:
    """Return a random step in float64 with a sample of spikes, or now and then of values."""
    torch.manual_seed(seed)
    model = RandomStep(seed).double()
    rng = np.random.default_rng(seed + 1_000_000)
    values = rng.random() < 0.2
    draws = [
        rng.normal(0.3, 1, (steps, batch, *s)) if values else rng.random((steps, batch, *s)) < 0.4 for s in model.shapes
    ]
    return model, dict(zip("xy", [torch.tensor(np.asarray(d, dtype=np.float64)) for d in draws], strict=True))
