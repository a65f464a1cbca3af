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
from spikeport.export.audit import Agreement, audit
from spikeport.export.convert import Conversion
from spikeport.export.convert.trace import forget
from spikeport.export.graph import SPIKING
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
    return Recording(nodes, dict.fromkeys(nodes, 0), timesteps, _roundoff(conversion))


class _Probe(fx.Interpreter):
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
        if tap and tap.read == "mem":
            return self.conversion.trace.module.get_submodule(str(n.target)).mem.numpy().copy()  # type: ignore[operator]
        spikes = value[0] if isinstance(value, tuple) else value
        if isinstance(self.conversion.graph.nodes[name], SPIKING):
            return (spikes.numpy() != 0).astype(np.uint8)  # type: ignore[no-any-return]
        return spikes.numpy().copy()  # type: ignore[no-any-return]


def _roundoff(conversion: Conversion) -> float:
    kinds = {p.dtype for p in conversion.trace.module.parameters()} | {
        b.dtype for b in conversion.trace.module.buffers() if b.is_floating_point()
    }
    return FLOAT64 if kinds == {torch.float64} else FLOAT32


def verify(conversion: Conversion, sample_TB: Mapping[str, Tensor]) -> Agreement:
    """Audit the model's own spikes against the converted graph.

    Raises:
        UnfaithfulError: they are not the same network on this sample.
    """
    recording = record_model(conversion, sample_TB)
    agreement = audit(conversion.graph, {n: x.numpy() for n, x in sample_TB.items()}, recording)
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
    return f"{agreement.entries} entries equal, {agreement.ties} ties within rounding"
