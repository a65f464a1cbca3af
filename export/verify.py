"""Is the converted graph the model? The model runs on real samples and is audited at every neuron node.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from spikeport.errors import UnfaithfulError
from spikeport.export.audit import TIES_ALLOWED, Agreement, audit
from spikeport.export.convert import Conversion
from spikeport.export.convert.private import forget, is_double
from spikeport.export.graph import SPIKING
from spikeport.export.norms import NormsInFloat64
from spikeport.export.recording import FLOAT32, FLOAT64, Recording


def record_model(conversion: Conversion, sample_TB: Mapping[str, Tensor]) -> Recording:
    """Run the traced model over a sample [T, B, *shape] and record every neuron node and output."""
    names = conversion.trace.inputs
    timesteps = len(sample_TB[names[0]])
    probe = _Probe(conversion)
    forget(conversion.trace.module)
    rows: dict[str, list[NDArray[np.generic]]] = {n: [] for n in (*conversion.taps, *conversion.outputs)}
    with torch.no_grad():
        for t in range(timesteps):
            probe.run(*[sample_TB[n][t] for n in names])
            for name, value in probe.seen.items():
                rows[name].append(value)
    forget(conversion.trace.module)
    nodes = {name: np.stack(values) for name, values in rows.items()}
    return Recording(
        nodes, dict.fromkeys(nodes, 0), timesteps, FLOAT64 if is_double(conversion.trace.module) else FLOAT32
    )


class _Probe(NormsInFloat64):
    """Runs one step and keeps what the taps show."""

    def __init__(self, conversion: Conversion) -> None:
        super().__init__(conversion.trace.module)
        self.conversion = conversion
        self.by_call: dict[str, list[str]] = {}
        for name, tap in conversion.taps.items():
            self.by_call.setdefault(tap.fx_node, []).append(name)
        for name, fx_name in conversion.outputs.items():
            self.by_call.setdefault(fx_name, []).append(name)
        self.seen: dict[str, NDArray[np.generic]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        for name in self.by_call.get(n.name, ()):
            self.seen[name] = self._read(name, n, value)
        return value

    def _read(self, name: str, n: fx.Node, value: Any) -> NDArray[np.generic]:
        tap = self.conversion.taps.get(name)
        shown: Tensor = value[0] if isinstance(value, tuple) else value
        if tap and tap.read != "output":
            layer: Any = self.conversion.trace.module.get_submodule(str(n.target))
            shown = layer.mem > layer.threshold if tap.read == "above" else getattr(layer, tap.read)
        array: NDArray[np.generic] = shown.numpy().copy()
        spiking = isinstance(self.conversion.graph.nodes[name], SPIKING)
        return (array != 0).astype(np.uint8) if spiking else array


def verify(conversion: Conversion, sample_TB: Mapping[str, Tensor], recording: Recording | None = None) -> Agreement:
    """Audit the model's own spikes against the converted graph.

    Args:
        conversion: what is held against the model it was made of.
        sample_TB: the inputs [T, B, *shape].
        recording: what `record_model` gave on them; by default it is asked.

    Raises:
        UnfaithfulError: they are not the same network on this sample.
    """
    recording = recording or record_model(conversion, sample_TB)
    agreement = audit(conversion.graph, {n: sample_TB[n].numpy() for n in conversion.graph.inputs}, recording)
    if not agreement.exact and agreement.mismatches == 0:
        raise UnfaithfulError(
            "the sample",
            f"{agreement.ties} of {agreement.entries} entries lie within rounding of a threshold, too many to tell, "
            f"first at node '{agreement.tie_list[0].node}'",
            "Move its threshold off the sums that meet it, such as 1.003 for 1, or give more samples",
        )
    if not agreement.exact:
        raise UnfaithfulError(
            "the converted graph",
            f"it is not the model: {describe(agreement)}",
            "Please report this network; --no-verify writes the bundle unverified and says so",
        )
    return agreement


def describe(agreement: Agreement) -> str:
    """Say in one line how an audit came out."""
    first = agreement.first_divergence
    if first:
        return (
            f"{agreement.mismatches} of {agreement.entries} entries differ beyond rounding, "
            f"first at step {first.step}, sample {first.sample}, "
            f"node '{first.node}', neuron {first.neuron}, margin {first.margin:.3g}"
        )
    if agreement.exact:
        return f"{agreement.entries} entries equal" + (
            f" but for {agreement.ties} ties within rounding" if agreement.ties else ""
        )
    found = f"{agreement.ties} of {agreement.entries} entries are ties within rounding of a threshold"
    return f"{found}, more than one in {1 / TIES_ALLOWED:,.0f}: too many to tell"
