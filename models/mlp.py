"""A multilayer perceptron of spiking neurons, as snnTorch's tutorial 5 writes it: Linear and Leaky, layer after layer.

    x -> Linear -> Leaky -> ... -> Linear -> Leaky -> sum over t: a class for each neuron of the last layer

The neurons are `snntorch.Leaky(beta)` with its default reset, which takes the threshold off one step after a spike.

Shape suffixes: T time steps, B samples, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from math import prod
from typing import Annotated, Literal

import snntorch
from pydantic import Field
from snntorch import surrogate
from torch import Tensor, nn

from spikeport.models.family import Family, Params, Shapes
from spikeport.models.network import LOGITS, SpikingNetwork, core_network
from spikeport.models.twin import RELU, Equivalent, Twin, rectifier

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]


class MlpParams(Params):
    """Parameters of `mlp`.

    Attributes:
        input: what its input is called; of any shape a step, laid out flat.
        hidden: neurons of the hidden layers.
        beta: decay a step of every membrane.
        threshold: firing threshold of every neuron.
        reset: `subtract`, snnTorch's default, takes the threshold off; `zero` sets the membrane to 0.
        slope: sharpness of the arctangent surrogate gradient; 2 is snnTorch's own.
    """

    input: str = "image"
    hidden: tuple[Count, ...] = (1000,)
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.95
    threshold: Positive = 1.0
    reset: Literal["subtract", "zero"] = "subtract"
    slope: Positive = 2.0


class SpikeCount(nn.Module):
    """The answer of a layer with one neuron a class: `logits_BK = sum_t s_TBK`."""

    def forward(self, spikes_TBK: Tensor) -> Tensor:
        """Return logits_BK."""
        return spikes_TBK.sum(0)


def _layers(
    params: MlpParams, shape: tuple[int, ...], classes: int, activation: Callable[[], nn.Module]
) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Flatten()] if len(shape) > 1 else []
    for before, after in itertools.pairwise((prod(shape), *params.hidden, classes)):
        layers += [nn.Linear(before, after), activation()]
    return layers


def build(params: MlpParams, shapes: Shapes, classes: int) -> SpikingNetwork:
    """Return the spiking network for inputs of `shapes` a step (encoded)."""

    def leaky() -> nn.Module:
        neuron: nn.Module = snntorch.Leaky(
            beta=params.beta,
            threshold=params.threshold,
            spike_grad=surrogate.atan(alpha=params.slope),
            init_hidden=True,
            reset_mechanism=params.reset,
        )
        return neuron

    core = nn.Sequential(*_layers(params, tuple(shapes[params.input]), classes, leaky))
    return core_network(core, SpikeCount(), input_names(params))


def input_names(params: MlpParams) -> tuple[str, ...]:
    """Return the one input."""
    return (params.input,)


class MlpTwin(Twin):
    """The same Linear layers with a ReLU for every Leaky but the last, whose currents are the answer."""

    def __init__(self, params: MlpParams, shapes: Shapes, classes: int, equivalent: Equivalent = RELU) -> None:
        frames = frozenset(equivalent.frame_inputs) & {params.input}
        super().__init__(input_names(params), frames, equivalent)
        layers = _layers(params, tuple(shapes[params.input]), classes, lambda: rectifier(equivalent))
        self.core = nn.Sequential(*layers[:-1])

    def compute(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return logits_BK; frames run one by one and their answers are averaged."""
        ((name, x),) = inputs.items()
        if name not in self.frame_inputs:
            return {LOGITS: self.core(x)}
        return {LOGITS: self.core(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(1)}

    def frame_layers(self) -> set[nn.Module]:
        """Return all layers where the input is a sequence."""
        return set(self.core.modules()) if self.frame_inputs else set()


def twin(params: MlpParams, shapes: Shapes, classes: int, equivalent: Equivalent = RELU) -> MlpTwin:
    """Return the twin that `equivalent` names."""
    if equivalent.kind != "matched":
        return MlpTwin(params, shapes, classes, equivalent)
    wanted, runs = equivalent.to_match(), equivalent.frames or 1
    size = prod(shapes[params.input])
    scaled = [params.model_copy(update={"hidden": _scaled(params.hidden, 2 ** (e / 8))}) for e in range(-32, 33)]
    best = min(scaled, key=lambda p: abs(runs * _macs((size, *p.hidden, classes)) - wanted))
    return MlpTwin(best, shapes, classes, equivalent)


def _scaled(hidden: tuple[int, ...], factor: float) -> tuple[int, ...]:
    return tuple(max(1, round(width * factor)) for width in hidden)


def _macs(sizes: tuple[int, ...]) -> int:
    return sum(a * b for a, b in itertools.pairwise(sizes))


FAMILY = Family(params=MlpParams, build=build, twin=twin, inputs=input_names)
