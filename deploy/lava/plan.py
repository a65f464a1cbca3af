"""The plan that the Lava worker builds from: numbers and names only, no Lava.

Populations get plain names (`source0`, `layer1`, `hop2`), since a node's name can be anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from spikeport.deploy.cells import Emits
from spikeport.deploy.loihi.quantise import QuantisedStage
from spikeport.deploy.stage import ONE, HopStage, Layer

Array = NDArray[np.generic]
Tag = Literal["floating_pt", "fixed_pt"]

GRADED_BITS = 24
"""Says that a message is a number, not a spike; Lava's CPU models compute the same sum for both."""


@dataclass(frozen=True)
class Numbers:
    """What a layer's process is given.

    Attributes:
        du: decay of the synaptic state, in Lava's unit for the tag.
        dv: decay of the membrane.
        vth: threshold.
        bias: [N], mantissa.
        bias_exp: exponent, 0 in floating point.
    """

    du: float
    dv: float
    vth: float
    bias: Array
    bias_exp: int = 0


@dataclass(frozen=True)
class PlannedSource:
    """An input, given `shift` steps late; `node` is its name in the graph, or `ONE`."""

    name: str
    node: str
    shift: int
    size: int


@dataclass(frozen=True)
class PlannedLayer:
    """A population; see `Numbers` for its parameters."""

    name: str
    node: str
    size: int
    emits: Emits
    onset: int
    du: float
    dv: float
    vth: float
    bias_exp: int
    dtype: str


@dataclass(frozen=True)
class PlannedHop:
    """A connection between two populations, by their plain names."""

    name: str
    source: str
    target: str
    wait: int
    shape: tuple[int, int]
    weight_exp: int
    message_bits: int


@dataclass(frozen=True)
class Plan:
    """Everything that the worker needs but the data.

    Attributes:
        tag: which of Lava's models.
        sources: inputs.
        layers: populations.
        hops: connections.
        arrays: `bias-NAME` of each layer; `data-`, `indices-` and `indptr-NAME` of each hop.
    """

    tag: Tag
    sources: Sequence[PlannedSource]
    layers: Sequence[PlannedLayer]
    hops: Sequence[PlannedHop]
    arrays: Mapping[str, Array]

    @property
    def synapses(self) -> int:
        """Stored synapses."""
        return sum(int(array.size) for name, array in self.arrays.items() if name.startswith("data-"))

    def save(self, folder: Path) -> None:
        """Write `plan.json` and `arrays.npz`."""
        parts = {
            "tag": self.tag,
            "sources": [asdict(source) for source in self.sources],
            "layers": [asdict(layer) for layer in self.layers],
            "hops": [asdict(hop) for hop in self.hops],
        }
        (folder / "plan.json").write_text(json.dumps(parts, indent=1), "utf-8")
        np.savez(folder / "arrays.npz", allow_pickle=False, **dict(self.arrays))


def make_plan(
    tag: Tag, stage: HopStage, numbers: Mapping[str, Numbers], synapses: Sequence[tuple[csr_array, int]]
) -> Plan:
    """Return the plan.

    Args:
        tag: which of Lava's models.
        stage: the populations and hops.
        numbers: by layer.
        synapses: weights and weight exponent, one for each of `stage.hops`.
    """
    sources = _sources(stage)
    names = {layer.name: f"layer{i}" for i, layer in enumerate(stage.layers)}
    kind = "float64" if tag == "floating_pt" else "int32"
    layers = [_layer(names, layer, numbers[layer.name], kind) for layer in stage.layers]
    arrays = {f"bias-{names[name]}": given.bias for name, given in numbers.items()}
    hops = []
    for i, (hop, (weight, exponent)) in enumerate(zip(stage.hops, synapses, strict=True)):
        known = hop.source in names
        source = names[hop.source] if known else sources[hop.source, hop.wait].name
        wait = hop.wait if known else 0
        shape = (int(weight.shape[0]), int(weight.shape[1]))
        hops.append(PlannedHop(f"hop{i}", source, names[hop.target], wait, shape, exponent, GRADED_BITS))
        arrays |= {f"{part}-hop{i}": getattr(weight, part) for part in ("data", "indices", "indptr")}
    return Plan(tag, list(sources.values()), layers, hops, arrays)


def _sources(stage: HopStage) -> dict[tuple[str, int], PlannedSource]:
    sizes = {ONE: 1} | {name: prod(shape) for name, shape in stage.inputs.items()}
    wanted = dict.fromkeys((hop.source, hop.wait) for hop in stage.hops if hop.source in sizes)
    return {
        (node, shift): PlannedSource(f"source{i}", node, shift, sizes[node]) for i, (node, shift) in enumerate(wanted)
    }


def _layer(names: Mapping[str, str], layer: Layer, given: Numbers, kind: str) -> PlannedLayer:
    return PlannedLayer(
        names[layer.name],
        layer.name,
        prod(layer.shape),
        layer.cell.emits,
        layer.latency,
        given.du,
        given.dv,
        given.vth,
        given.bias_exp,
        kind,
    )


def float_plan(stage: HopStage) -> Plan:
    """Return the plan for Lava's floating point models: the stage's own numbers."""
    numbers = {
        layer.name: Numbers(layer.cell.du, layer.cell.dv, layer.cell.threshold, layer.bias) for layer in stage.layers
    }
    return make_plan("floating_pt", stage, numbers, [(hop.weight, 0) for hop in stage.hops])


def fixed_plan(quantised: QuantisedStage) -> Plan:
    """Return the plan for Lava's fixed point models."""
    numbers = {x.layer.name: Numbers(x.du, x.dv, x.vth_mant, x.bias_mant, x.bias_exp) for x in quantised.layers}
    return make_plan("fixed_pt", quantised.stage, numbers, [(hop.weight, hop.weight_exp) for hop in quantised.hops])
