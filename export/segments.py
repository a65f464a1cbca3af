"""A network of segments before it is written: its steps cut and converted, its windows as host stages.

Shapes: T time, B batch, `*` the tensor's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.author import author_run
from spikeport.export.convert import Rewrite
from spikeport.export.drafts import ChipDraft, Drafts, draft
from spikeport.export.host_draft import HostDraft
from spikeport.export.manifest import RegisterSpec
from spikeport.models.network import CORE, READOUT, Segment, SpikingNetwork, as_tuple


def draft_network(model: SpikingNetwork, sample_TB: Mapping[str, Tensor], dt_s: float, check: bool) -> Drafts:
    """Trace, cut, convert and verify every segment on what the segments before it give for the sample.

    What a step gives that no later segment reads (for a loss in training) is left out.

    Raises:
        UnfaithfulError: a segment has no faithful form, or is not the model.
        UsageError: the sample does not fit.
    """
    if set(sample_TB) != set(model.input_names):
        reason = f"the network takes {list(model.input_names)}"
        raise UsageError(f"sample {sorted(sample_TB)}", reason, "Give one tensor for each")
    tensors: dict[str, Tensor] = dict(sample_TB)
    places = {name: name for name in sample_TB}
    stages: list[ChipDraft | HostDraft] = []
    registers: list[RegisterSpec] = []
    rewrites: list[Rewrite] = []
    for segment, read in _read_only(model):
        given = {name: places[name] for name in segment.inputs}
        if segment.form == "step":
            part = "" if segment.name == CORE else segment.name
            inputs_TB = {name: tensors[place] for name, place in given.items()}
            wanted = tuple(segment.outputs.index(name) for name in read)
            found = draft(segment.module, inputs_TB, dt_s, segment.inputs, check, None, part, read, wanted)
            _read_from(found, given)
            stages += found.stages
            registers += found.registers
            rewrites += found.rewrites
            written = found.outputs
            tensors |= {name: x.float() for name, x in found.tensors.items() if name not in given}
        else:
            host = _window(segment, given, tensors)
            stages.append(host)
            written = {name: host.values_TB[name] for name in segment.outputs}
            tensors |= written
        places |= dict(zip(read, written, strict=True))
    answer = places[model.answer]
    if check:
        _check_whole(model, sample_TB, tensors[answer])
    return Drafts(tuple(stages), {answer: tensors[answer]}, tensors, tuple(registers), tuple(rewrites))


def _check_whole(model: SpikingNetwork, sample_TB: Mapping[str, Tensor], answer_TB: Tensor) -> None:
    """Hold the answer of the segments, one after the other, against the network's own.

    A recording normalises in float64, so that behind a BatchNorm only the parts are compared bit for bit.

    Raises:
        UnfaithfulError: they differ; or see `author_run`.
    """
    own = author_run(model, lambda network: network({name: x.clone() for name, x in sample_TB.items()}))
    normalised = any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in model.modules())
    if normalised and type(model).forward is SpikingNetwork.forward:
        return
    if not torch.equal(own.float(), answer_TB[0] if model.reads_out else answer_TB):
        raise UnfaithfulError(
            f"network {type(model).__name__}",
            "its forward gives another answer than its segments, one after the other",
            "Put what it does into segments",
        )


def _read_only(model: SpikingNetwork) -> list[tuple[Segment, tuple[str, ...]]]:
    """Return the segments that are read, and which of their outputs: of a window all."""
    kept: list[tuple[Segment, tuple[str, ...]]] = []
    wanted = {model.answer}
    for segment in reversed(model.segments):
        read = tuple(name for name in segment.outputs if name in wanted)
        if read:
            kept.append((segment, read if segment.form == "step" else segment.outputs))
            wanted |= set(segment.inputs)
    return kept[::-1]


def _read_from(found: Drafts, given: Mapping[str, str]) -> None:
    """Let the stages read the tensors that carry what the segment calls its inputs."""
    for stage in found.stages:
        stage.inputs = {argument: given.get(tensor, tensor) for argument, tensor in stage.inputs.items()}
        if isinstance(stage, HostDraft):
            stage.values_TB = {given.get(tensor, tensor): x for tensor, x in stage.values_TB.items()}


def _window(segment: Segment, given: Mapping[str, str], tensors: Mapping[str, Tensor]) -> HostDraft:
    inputs = dict(zip(_numbered("input", len(given)), given.values(), strict=True))
    values = {place: tensors[place] for place in inputs.values()}
    module: Any = segment.module
    with torch.no_grad():
        results = as_tuple(module(*[values[place].float().clone() for place in inputs.values()]))
    form: Literal["sequence", "window"] = "sequence"
    if segment.form == READOUT:
        form, results = "window", tuple(y_B[None] for y_B in results)
    values |= dict(zip(segment.outputs, results, strict=True))
    outputs = dict(zip(_numbered("output", len(results)), segment.outputs, strict=True))
    return HostDraft(segment.name, module, form, inputs, outputs, values)


def _numbered(word: str, count: int) -> tuple[str, ...]:
    """Return names of an ONNX file's own, which no value inside of it has."""
    return (word,) if count == 1 else tuple(f"{word}_{i}" for i in range(count))
