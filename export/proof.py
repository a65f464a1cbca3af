"""A bundle's proof, replayed: are its stages what its golden recording says?

Every stage is run alone, on the recorded tensors that it was given, so that no rounding of one stage passes into the
next. A chip stage's recording is held against the reference by the audit: a spike may differ where the membrane
lies within the rounding error of the arithmetic that made the recording, a value within that error. What a
host stage answers under onnxruntime, whose sums are of another order on every processor, is held against the recording
as at export: within `HOST_TOLERANCE` of the largest value, its neurons' spikes by the ties of `host_verify`.
What a chip stage answers is its own recording. Ties are allowed in 1e-5 of the entries that the export verified, and
one always: another processor may round one entry otherwise.

A bundle of a version that kept no tensors behind its host stages is replayed on what onnxruntime answers; a
chip stage behind it is then held within bounds that begin with that tolerance at its inputs.

Shapes: T time, B batch, `*` the tensor's own shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError, UnfaithfulError, UsageError
from spikeport.export.audit import TIES_ALLOWED, Agreement, audit
from spikeport.export.bundle import Bundle, Golden
from spikeport.export.golden_form import FIX, check_form
from spikeport.export.host_run import HostStepper, run_host
from spikeport.export.host_state import HOST_SPIKES, STATE_OUT
from spikeport.export.host_verify import verify_steps
from spikeport.export.manifest import GOLDEN
from spikeport.export.onnx_stage import HOST_TOLERANCE, host_difference
from spikeport.export.recording import FLOAT32, Recording
from spikeport.export.shapes import Shape
from spikeport.export.stages import ChipStage, HostStage

Array = NDArray[Any]


@dataclass(frozen=True)
class Disagreement:
    """Where a bundle is not its proof: the stage and node, and in words the step, the sample and by how much."""

    where: str
    reason: str


@dataclass(frozen=True)
class Replay:
    """How a bundle compares with its golden recording.

    Attributes:
        entries: compared entries of chip stages' nodes and host neurons.
        ties: those that differ within rounding.
        disagreement: the first beyond, `None` where there is none.
    """

    entries: int
    ties: int
    disagreement: Disagreement | None = None


def replay(bundle: Bundle, progress: Callable[[str], None] = lambda _: None) -> Replay:
    """Run every stage on the golden inputs and hold it against the golden recording.

    Args:
        bundle: opened, so that its files are those of its hashes.
        progress: told which stage runs.

    Raises:
        ArtefactError: the recording has not the form of the network's.
    """
    golden = bundle.golden()
    check_form(bundle, golden)
    return _Replay(bundle, golden).run(progress)


class _DisagreementError(Exception):
    """Ends a replay."""

    def __init__(self, where: str, reason: str) -> None:
        self.found = Disagreement(where, reason)


class _Replay:
    def __init__(self, bundle: Bundle, golden: Golden) -> None:
        self.bundle, self.network, self.golden = bundle, bundle.network, golden
        self.file = str(bundle.path / GOLDEN)
        self.entries = self.ties = 0
        self.errors: dict[str, float] = {}
        self.tensors: dict[str, Array] = dict(golden.inputs)
        for stage in self.network.stages:
            for node, tensor in stage.outputs.items():
                recorded = {**golden.outputs, **golden.tensors}
                if isinstance(stage, ChipStage):
                    recorded = {tensor: golden.nodes[stage.name][node]}
                if tensor in recorded:
                    self.tensors[tensor] = recorded[tensor]

    def run(self, progress: Callable[[str], None]) -> Replay:
        try:
            for stage in self.network.stages:
                progress(f"comparing {self.bundle.path.name} with its proof: stage {stage.name}")
                given = {node: self._read(tensor) for node, tensor in stage.inputs.items()}
                self._chip(stage, given) if isinstance(stage, ChipStage) else self._host(stage, given)
            for name in self.network.outputs:
                self._output(name)
            limit = max(1.0, TIES_ALLOWED * max(self.entries, self.bundle.manifest.verification.entries))
            if self.ties > limit:
                raise _DisagreementError(
                    "recording", f"{self.ties} of {self.entries} entries differ within rounding, too many to tell"
                )
        except _DisagreementError as differs:
            return Replay(self.entries, self.ties, differs.found)
        return Replay(self.entries, self.ties)

    def _read(self, tensor: str) -> Array:
        """Return a tensor as its stage was given it; a register is its source of the step before, 0 at first."""
        for register in self.network.registers:
            if register.tensor == tensor:
                if register.source not in self.tensors:
                    reason = "it keeps no record of what passes round the loop through a host stage"
                    raise ArtefactError(f"{self.file}: tensor '{register.source}'", reason, FIX)
                source = self.tensors[register.source]
                return np.concatenate([np.zeros_like(source[:1]), source[:-1]])
        return self.tensors[tensor]

    def _chip(self, stage: ChipStage, given: Mapping[str, Array]) -> None:
        nodes = self.golden.nodes[stage.name]
        steps = len(next(iter(given.values())))
        for name, values in nodes.items():
            if len(values) != steps:
                where = f"{self.file}: stage '{stage.name}', node '{name}'"
                raise ArtefactError(where, f"it has {len(values)} steps, and its stage's input {steps}", FIX)
        roundoff = self.golden.unit_roundoff.get(stage.name, FLOAT32)
        recording = Recording(nodes, dict.fromkeys(nodes, 0), steps, roundoff)
        errors = {node: self.errors.get(tensor, 0.0) for node, tensor in stage.inputs.items()}
        try:
            agreement = audit(stage.graph, given, recording, input_errors=errors)
        except UsageError as error:
            raise ArtefactError(f"{self.file}: stage '{stage.name}', {error.subject}", error.reason, FIX) from None
        self.entries += agreement.entries
        self.ties += agreement.ties
        _refuse_mismatch(stage.name, agreement)

    def _host(self, stage: HostStage, given: Mapping[str, Array]) -> None:
        expected = {node: self.tensors[tensor] for node, tensor in stage.outputs.items() if tensor in self.tensors}
        expected = {node: y.astype(np.float32) for node, y in expected.items()}
        if (stage.states or stage.name in self.golden.hosts) and len(expected) == len(stage.outputs):
            self._stateful(stage, given, expected)
            return
        for node, y in run_host(stage, given).items():
            tensor = stage.outputs[node]
            if node in expected:
                _compare(f"host stage '{stage.name}', tensor '{tensor}'", expected[node], y)
            else:
                self.tensors[tensor] = y
                self.errors[tensor] = HOST_TOLERANCE * max(1.0, float(np.abs(y).max(initial=0.0)))

    def _stateful(self, stage: HostStage, given: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
        batch = next(iter(given.values())).shape[1]
        shown = self.golden.hosts.get(stage.name, {})
        expected = {**expected, **{n: x for n, x in shown.items() if n.startswith(STATE_OUT)}}
        answers = {**expected, **{n: x for n, x in shown.items() if n.startswith(HOST_SPIKES)}}
        stepper = _Checked(stage, batch, {n: x.shape[1:] for n, x in answers.items()})
        neurons = [name.removeprefix(HOST_SPIKES) for name in shown if name.startswith(HOST_SPIKES)]
        try:
            agreement = verify_steps(stage.name, stepper, given, expected, neurons, shown, most_ties=np.inf)
        except UnfaithfulError as error:
            raise _DisagreementError(error.subject, error.reason) from None
        self.entries += agreement.entries
        self.ties += agreement.ties

    def _output(self, name: str) -> None:
        """What a chip stage, or nothing, has computed is its own recording bit for bit; a host's was compared."""
        recorded, own = self.golden.outputs[name], self._read(name)
        if recorded.shape != own.shape:
            raise _DisagreementError(f"output '{name}'", f"its shape is {recorded.shape}, and its stage's {own.shape}")
        if (differs := np.argwhere(recorded != own)).size:
            step, sample, *_ = differs[0].tolist()
            reason = f"it is not what its stage recorded, first at step {step}, sample {sample}"
            raise _DisagreementError(f"output '{name}'", reason)


class _Checked(HostStepper):
    """A stepper that answers in the shapes that were recorded."""

    def __init__(self, stage: HostStage, batch: int, shapes: Mapping[str, Shape]) -> None:
        super().__init__(stage.path, stage.states, batch)
        self.stage, self.shapes = stage, shapes

    def step(self, inputs_B: Mapping[str, Array]) -> dict[str, Any]:
        values = super().step(inputs_B)
        for name, shape in self.shapes.items():
            if name not in values or values[name].shape != shape:
                found = f"gives {values[name].shape} as" if name in values else "gives no"
                reason = f"it {found} '{name}', and {shape} is recorded"
                raise _DisagreementError(f"host stage '{self.stage.name}'", reason)
        return values


def _refuse_mismatch(stage: str, agreement: Agreement) -> None:
    first = agreement.first_divergence
    if first is not None:
        raise _DisagreementError(
            f"stage '{stage}', node '{first.node}'",
            f"it differs from the reference at step {first.step}, sample {first.sample}, neuron {first.neuron}, by "
            f"{first.margin:.3g}, more than rounding explains, and at {agreement.mismatches} of {agreement.entries} "
            "entries of the stage",
        )


def _compare(where: str, expected_TB: Array, got_TB: Array) -> None:
    if expected_TB.shape != got_TB.shape:
        raise _DisagreementError(where, f"its shape is {expected_TB.shape}, and onnxruntime gives {got_TB.shape}")
    difference = host_difference(expected_TB, got_TB)
    if difference > HOST_TOLERANCE:
        apart = np.nan_to_num(np.abs(expected_TB - got_TB), nan=np.inf)
        step, sample, *_ = (int(i) for i in np.unravel_index(np.argmax(apart), apart.shape))
        raise _DisagreementError(
            where,
            f"what onnxruntime gives is {difference:.2g} of the largest value away, more than {HOST_TOLERANCE:.0e}, "
            f"farthest at step {step}, sample {sample}",
        )
