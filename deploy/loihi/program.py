"""A quantised stage on the integer engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.backend import Inputs
from spikeport.deploy.loihi.engine import Engine, IntegerNetwork, Population, Records, Synapses
from spikeport.deploy.loihi.engine.network import one_or_each
from spikeport.deploy.loihi.files.save import save_network, written_network
from spikeport.deploy.loihi.integers import integers, padded, recording_of
from spikeport.deploy.loihi.losses import LayerLosses, behaviours, layer_losses
from spikeport.deploy.loihi.mapper.blocks import ChipMapping
from spikeport.deploy.loihi.mapper.chip import Chip
from spikeport.deploy.loihi.mapper.mapping import map_network
from spikeport.deploy.loihi.quantise import QuantisedHop, QuantisedLayer, QuantisedStage, value_scales
from spikeport.deploy.stage import ONE
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import check_inputs
from spikeport.export.recording import Recording

Array = NDArray[np.generic]


def integer_network(quantised: QuantisedStage) -> IntegerNetwork:
    """Return a quantised stage as the network that the engine runs."""
    hops = [hop for hop in quantised.hops if hop.hop.source != ONE]
    constant = {hop.hop.target: hop for hop in quantised.hops if hop.hop.source == ONE}
    populations = [_population(layer, constant.get(layer.layer.name)) for layer in quantised.layers]
    synapses = [Synapses(h.hop.source, h.hop.target, h.weight, h.weight_exp, h.hop.wait) for h in hops]
    return IntegerNetwork(dict(quantised.stage.inputs), populations, synapses)


def _population(layer: QuantisedLayer, constant: QuantisedHop | None) -> Population:
    return Population(
        layer.layer.name,
        layer.layer.shape,
        one_or_each(layer.du_N),
        one_or_each(layer.dv_N),
        one_or_each(layer.vth_mant_N),
        layer.bias_mant,
        layer.bias_exp,
        constant=None if constant is None else _arriving(constant),
        onset=layer.layer.latency,
        reset="zero" if layer.reset_by_N is None else "subtract",
        reset_by=0 if layer.reset_by_N is None else one_or_each(layer.reset_by_N),
    )


def _arriving(constant: QuantisedHop) -> NDArray[np.int32]:
    weight_N = constant.weight.toarray()[:, 0].astype(np.int32)
    exponent = constant.weight_exp
    arriving: NDArray[np.int32] = weight_N << exponent if exponent >= 0 else weight_N >> -exponent
    return arriving


def node_records(
    layer: QuantisedLayer, spikes: Mapping[str, Array], u: Mapping[str, Array], v: Mapping[str, Array]
) -> dict[str, Array]:
    """Return what the nodes of a layer show, from the records of its integers after each step.

    A value is v by its scale, and so is a membrane before a reset by subtraction, v + R s; a current is u by its own.
    """
    name, scales = layer.layer.name, value_scales(layer)
    value = layer.layer.cell.emits == "value"
    nodes: dict[str, Array] = {name: v[name].astype(np.float64) / scales[name] if value else spikes[name]}
    if layer.layer.membrane:
        before = v[name].astype(np.float64)
        if layer.reset_by_N is not None:
            before += layer.reset_by_N.reshape(layer.layer.shape) * spikes[name].astype(np.float64)
        nodes[layer.layer.membrane] = before / scales[layer.layer.membrane]
    if layer.layer.current:
        nodes[layer.layer.current] = u[name].astype(np.float64) / scales[layer.layer.current]
    return nodes


@dataclass(frozen=True)
class LoihiProgram:
    """A quantised stage, compiled for the engine.

    Attributes:
        graph: the stage in float.
        quantised: the stage in integers.
    """

    graph: ChipGraph
    quantised: QuantisedStage

    @cached_property
    def engine(self) -> Engine:
        """The compiled network."""
        return Engine(integer_network(self.quantised))

    def run(self, inputs_TBN: Inputs) -> Recording:
        """Run all samples.

        Raises:
            UnfaithfulError: a synaptic state left its 24 bits, and Loihi wraps it; or a membrane that is read did,
                and Loihi holds it or resets it. The result means nothing.
        """
        arrays = check_inputs(self.graph, inputs_TBN)
        timesteps = len(next(iter(arrays.values())))
        records = self.records(arrays)
        for name, wraps in records.wraps.items():
            if wraps:
                raise UnfaithfulError(
                    f"node '{name}'",
                    f"its synaptic input left the 24 bits {wraps} times on these samples",
                    "Calibrate with samples like these",
                )
        nodes: dict[str, Array] = {}
        for layer in self.quantised.layers:
            name = layer.layer.name
            value = layer.layer.cell.emits == "value"
            if value and (held := records.saturations[name] + int(np.count_nonzero(records.spikes[name]))):
                raise UnfaithfulError(
                    f"node '{name}'",
                    f"its membrane, which is read, left the 24 bits {held} times on these samples",
                    "Calibrate with samples like these",
                )
            nodes |= node_records(layer, records.spikes, records.u, records.v)
        return recording_of(self.quantised.stage, nodes, arrays, timesteps, None)

    def records(self, inputs_TBN: Mapping[str, Array], u: tuple[str, ...] = (), v: tuple[str, ...] = ()) -> Records:
        """Return what the integers do, with u and v of the layers asked for and of those that nodes show."""
        scales, limits = self.quantised.input_scales, self.quantised.input_limits
        sent = {name: integers(name, x, scales, limits) for name, x in inputs_TBN.items()}
        steps = len(next(iter(sent.values()))) + self.quantised.stage.latency
        layers = [x.layer for x in self.quantised.layers]
        v_read = [x.name for x in layers if x.membrane or x.cell.emits == "value"]
        u_read = [x.name for x in layers if x.current]
        return self.engine.run(sent, steps, u=dict.fromkeys((*u_read, *u)), v=dict.fromkeys((*v_read, *v)))

    def mapping(self, chip: Chip, stage: str, inputs_TBN: Inputs | None, recording: Recording | None) -> ChipMapping:
        """Return where the network lies on `chip`, and what the recorded spikes do there."""
        network = integer_network(self.quantised)
        nodes = self.graph.nodes.values()
        weights = sum(int(np.size(getattr(n, key))) for n in nodes for key in ("weight", "scale") if hasattr(n, key))
        spikes = None if recording is None or inputs_TBN is None else self._sent(inputs_TBN, recording)
        return map_network(network, chip, stage, weights, spikes)

    def _sent(self, inputs_TBN: Inputs, recording: Recording) -> dict[str, Array]:
        """Return what every input and layer sent, all of as many steps; a membrane that is read sends nothing."""
        quantised = self.quantised
        layers = {x.layer.name: recording.nodes[x.layer.name] for x in quantised.layers}
        steps = len(next(iter(layers.values())))
        sent: dict[str, Array] = {}
        for name, x in check_inputs(self.graph, inputs_TBN).items():
            sent[name] = padded(integers(name, x, quantised.input_scales, quantised.input_limits), 0, steps)
        for layer in quantised.layers:
            values = layers[layer.layer.name]
            sent[layer.layer.name] = values if layer.layer.cell.emits == "spikes" else np.zeros(values.shape, np.uint8)
        return sent

    def losses(self) -> Mapping[str, LayerLosses]:
        """Return what quantisation cost every layer, on the calibration samples where there were some."""
        return self._losses

    @cached_property
    def _losses(self) -> dict[str, LayerLosses]:
        observed = self.quantised.observed
        seen = behaviours(self.quantised, self.records(observed.inputs)) if observed else {}
        return {name: layer_losses(report, seen.get(name)) for name, report in self.quantised.reports.items()}

    def save(self, folder: Path) -> None:
        """Write what quantisation did, the integers of every layer and connection, and them as files for Lava.

        `notes.txt` says what each file is for, and why one is missing.
        """
        losses = {name: layer.model_dump() for name, layer in self.losses().items()}
        (folder / "quantisation.json").write_text(json.dumps(losses, indent=2) + "\n", "utf-8")
        save_network(written_network(self.graph, self.quantised, integer_network(self.quantised)), folder)
