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
Process = Literal["LIF", "own", "sum"]
"""Lava's LIF, our own where Lava has none (see `worker/processes`), or a sink."""
Kept = Literal["spikes", "membrane", "current", "sum"]
"""What is recorded: of a neuron its spikes, v before a reset by subtraction, or u; of an output what arrives."""
KEPT: Mapping[Emits, Kept] = {"spikes": "spikes", "value": "membrane", "sum": "sum"}
PARAMETERS = ("du", "dv", "vth", "reset_by")

GRADED_BITS = 24
"""Says that a message is a number, not a spike; Lava's CPU models compute the same sum for both."""


@dataclass(frozen=True)
class Numbers:
    """What a layer's process is given: numbers that all its neurons share, or [N].

    Attributes:
        du: decay of the synaptic state, in Lava's unit for the tag.
        dv: decay of the membrane.
        vth: threshold.
        bias: [N], mantissa.
        bias_exp: exponent, 0 in floating point.
        reset_by: what a spike takes off v, in its unit; 0 for no reset, `None` for a reset to 0.
    """

    du: float | Array
    dv: float | Array
    vth: float | Array
    bias: Array
    bias_exp: int = 0
    reset_by: float | Array | None = None


@dataclass(frozen=True)
class PlannedSource:
    """An input, given `shift` steps late; `node` is its name in the graph, or `ONE`."""

    name: str
    node: str
    shift: int
    size: int


@dataclass(frozen=True)
class PlannedLayer:
    """A population.

    Attributes:
        name: plain.
        node: in the graph.
        size: N.
        onset: steps for which it is held at 0.
        process: what it is made of.
        shared: those of `PARAMETERS` that are one number; the others stand in the plan's arrays, or are not there.
        bias_exp: see `Numbers`.
        dtype: of u, v and sums.
        records: the node of the graph that shows it, by what is recorded.
    """

    name: str
    node: str
    size: int
    onset: int
    process: Process
    shared: Mapping[str, float]
    bias_exp: int
    dtype: str
    records: Mapping[Kept, str]


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
        arrays: `bias-NAME` of each layer, and those of `PARAMETERS` that differ between its neurons, `du-NAME` and so
            on; `data-`, `indices-` and `indptr-NAME` of each hop.
    """

    tag: Tag
    sources: Sequence[PlannedSource]
    layers: Sequence[PlannedLayer]
    hops: Sequence[PlannedHop]
    arrays: Mapping[str, Array]

    @property
    def own(self) -> Sequence[str]:
        """The nodes that run on a process of our own instead of Lava's LIF."""
        return [layer.node for layer in self.layers if layer.process == "own"]

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
    arrays: dict[str, Array] = {}
    layers = []
    for layer in stage.layers:
        made = planned(names[layer.name], tag, numbers[layer.name], records_of(layer), layer.name, layer.latency)
        layers.append(made[0])
        arrays |= made[1]
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


def records_of(layer: Layer) -> dict[Kept, str]:
    """Return what is recorded of a layer, and the node of the graph that shows it."""
    records: dict[Kept, str] = {KEPT[layer.cell.emits]: layer.name}
    if layer.membrane:
        records["membrane"] = layer.membrane
    if layer.current:
        records["current"] = layer.current
    return records


def planned(
    name: str, tag: Tag, given: Numbers, records: Mapping[Kept, str], node: str, onset: int = 0
) -> tuple[PlannedLayer, dict[str, Array]]:
    """Return a population, and its arrays of the plan.

    It is Lava's LIF where its parameters are shared and it resets to 0, else our own process.
    """
    arrays, shared = {f"bias-{name}": given.bias}, {}
    for key in PARAMETERS:
        values = getattr(given, key)
        if values is None:
            continue
        if (one := np.unique(values)).size == 1:
            shared[key] = one[0].item()
        else:
            arrays[f"{key}-{name}"] = np.asarray(values)
    stock = len(arrays) == 1 and given.reset_by is None
    process: Process = "sum" if "sum" in records else "LIF" if stock else "own"
    dtype = "float64" if tag == "floating_pt" else "int32"
    layer = PlannedLayer(name, node, int(given.bias.size), onset, process, shared, given.bias_exp, dtype, dict(records))
    return layer, arrays


def float_plan(stage: HopStage) -> Plan:
    """Return the plan for Lava's floating point models: the stage's own numbers."""
    numbers = {layer.name: _numbers(layer) for layer in stage.layers}
    return make_plan("floating_pt", stage, numbers, [(hop.weight, 0) for hop in stage.hops])


def _numbers(layer: Layer) -> Numbers:
    cell = layer.cell
    return Numbers(cell.du_N, cell.dv_N, cell.threshold_N, layer.bias, reset_by=cell.reset_by_N)


def fixed_plan(quantised: QuantisedStage) -> Plan:
    """Return the plan for Lava's fixed point models."""
    numbers = {
        x.layer.name: Numbers(x.du_N, x.dv_N, x.vth_mant_N, x.bias_mant, x.bias_exp, x.reset_by_N)
        for x in quantised.layers
    }
    return make_plan("fixed_pt", quantised.stage, numbers, [(hop.weight, hop.weight_exp) for hop in quantised.hops])
