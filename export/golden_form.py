"""Has a golden recording the form that its bundle's network gives it? Names, shapes, numbers; not yet the values.

Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError
from spikeport.export.bundle import Bundle, Golden
from spikeport.export.graph import SPIKING
from spikeport.export.host_state import HOST_SPIKES, STATE_OUT
from spikeport.export.interpreter import recorded_nodes
from spikeport.export.manifest import GOLDEN
from spikeport.export.recording import FLOAT32, FLOAT64
from spikeport.export.stages import HostStage

FIX = "Export the bundle again"
# Window neurons, which sum over all T steps, claim up to (3 T + 2 T / tau + 4) / 12 of float32's, with tau in steps.
WINDOW_ROUNDOFFS = 4


def check_form(bundle: Bundle, golden: Golden) -> None:
    """Hold names and shapes of `golden` against the network, and every entry against what a number is.

    Raises:
        ArtefactError: something is missing, is not the network's, has another shape, or is no number; a spike is
            neither 0 nor 1.
    """
    _Form(bundle, golden).check()


class _Form:
    def __init__(self, bundle: Bundle, golden: Golden) -> None:
        self.file = str(bundle.path / GOLDEN)
        self.timesteps = bundle.manifest.timesteps
        self.network = bundle.network
        self.golden = golden
        self.batch = next((x.shape[1] for x in golden.inputs.values() if x.ndim > 1), 0)

    def check(self) -> None:
        golden, network = self.golden, self.network
        self._names("input", golden.inputs, network.inputs)
        for name, shape in network.inputs.items():
            self._numbers(f"input '{name}'", golden.inputs[name], (self.timesteps, *shape))
        self._names("stage", golden.nodes, [chip.name for chip in network.chips])
        for chip in network.chips:
            nodes = golden.nodes[chip.name]
            self._names(f"stage '{chip.name}', node", nodes, recorded_nodes(chip.graph))
            for name, values in nodes.items():
                self._numbers(f"stage '{chip.name}', node '{name}'", values, (None, *chip.graph.shapes[name]))
                if isinstance(chip.graph.nodes[name], SPIKING) and not np.isin(values, (0, 1)).all():
                    self._refuse(f"stage '{chip.name}', node '{name}'", "a spike is 0 or 1 and nothing else")
        self._names("output", golden.outputs, network.outputs)
        hosts = [stage for stage in network.stages if isinstance(stage, HostStage)]
        if golden.tensors:
            self._names("tensor", golden.tensors, {t for h in hosts for t in h.outputs.values()} - {*network.outputs})
        for name, values in {**golden.outputs, **golden.tensors}.items():
            self._numbers(f"tensor '{name}'", values, None)
        self._known("host stage", golden.hosts, [host.name for host in hosts])
        for host in hosts:
            if host.name in golden.hosts:
                self._host(host)
        self._known("unit roundoff of stage", golden.unit_roundoff, [chip.name for chip in network.chips])
        for name, roundoff in golden.unit_roundoff.items():
            if not FLOAT64 <= roundoff <= WINDOW_ROUNDOFFS * self.timesteps * FLOAT32:
                self._refuse(f"unit roundoff of stage '{name}'", f"{roundoff:g} is none of an arithmetic that we know")

    def _host(self, host: HostStage) -> None:
        """A host's states all, and of every neuron the spikes and how far the membrane exceeds the threshold."""
        shown, where = self.golden.hosts[host.name], f"host stage '{host.name}', value"
        neurons = {name.removeprefix(HOST_SPIKES) for name in shown if name.startswith(HOST_SPIKES)}
        wanted = {STATE_OUT + state for state in host.states} | {HOST_SPIKES + n for n in neurons} | neurons
        self._names(where, shown, wanted)
        for name, values in shown.items():
            state = name.removeprefix(STATE_OUT)
            own = host.states[state] if name == STATE_OUT + state else shown[HOST_SPIKES + _neuron(name)].shape[2:]
            self._numbers(f"{where} '{name}'", values, (self.timesteps, *own))

    def _names(self, what: str, found: Collection[str], wanted: Collection[str]) -> None:
        self._known(what, found, wanted)
        if missing := sorted(set(wanted) - set(found)):
            self._refuse(f"{what} '{missing[0]}'", "it is missing")

    def _known(self, what: str, found: Collection[str], wanted: Collection[str]) -> None:
        if extra := sorted(set(found) - set(wanted)):
            self._refuse(f"{what} '{extra[0]}'", "the network has no such thing")

    def _numbers(self, what: str, values: NDArray[Any], shape: tuple[int | None, ...] | None) -> None:
        """Hold an array against [T, B, *shape]; `shape` begins with T, and None is any."""
        if values.dtype.kind not in "fiub":
            self._refuse(what, f"it is of type {values.dtype}, not numbers")
        wanted = None if shape is None else (shape[0] or "T", self.batch, *shape[1:])
        if values.ndim < 2 or 0 in values.shape[:2] or values.shape[1] != self.batch:
            self._refuse(what, f"its shape is {values.shape}, not [T, {self.batch}, ...]")
        if shape is not None and (values.shape[2:] != shape[1:] or shape[0] not in (None, values.shape[0])):
            self._refuse(what, f"its shape is {values.shape}, not {wanted}")
        if not np.isfinite(values).all():
            step, sample, *_ = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
            self._refuse(what, f"it is no number at step {step}, sample {sample}")

    def _refuse(self, what: str, reason: str) -> None:
        raise ArtefactError(f"{self.file}: {what}", reason, FIX)


def _neuron(name: str) -> str:
    return name.removeprefix(HOST_SPIKES)
