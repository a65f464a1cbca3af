"""A network of segments before it is written: its steps cut and converted, its windows as host stages.

Shapes: T time, B batch, `*` the tensor's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from spikeport.errors import UsageError
from spikeport.export.drafts import ChipDraft, Drafts, draft
from spikeport.export.host_draft import HostDraft
from spikeport.export.manifest import RegisterSpec
from spikeport.models.folded import one_step
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
    for segment in _read_only(model):
        given = {name: places[name] for name in segment.inputs}
        if segment.form == "step":
            part = "" if segment.name == CORE else segment.name
            inputs_TB = {name: tensors[place] for name, place in given.items()}
            found = draft(segment.module, inputs_TB, dt_s, segment.inputs, check, part=part, outputs=segment.outputs)
            _read_from(found, given)
            stages += found.stages
            registers += found.registers
            written = found.outputs
            tensors |= {name: x.float() for name, x in found.tensors.items() if name not in given}
        else:
            host = _window(segment, given, tensors)
            stages.append(host)
            written = {name: host.values_TB[name] for name in segment.outputs}
            tensors |= written
        places |= dict(zip(segment.outputs, written, strict=True))
    answer = places[model.answer]
    return Drafts(tuple(stages), {answer: tensors[answer]}, tensors, tuple(registers))


def _read_only(model: SpikingNetwork) -> list[Segment]:
    """Return the segments that are read, steps with those outputs only that another reads."""
    kept: list[Segment] = []
    wanted = {model.answer}
    for segment in reversed(model.segments):
        read = tuple(name for name in segment.outputs if name in wanted)
        if read:
            kept.append(_narrowed(segment, read) if segment.form == "step" else segment)
            wanted |= set(segment.inputs)
    return kept[::-1]


def _narrowed(segment: Segment, outputs: tuple[str, ...]) -> Segment:
    if outputs == segment.outputs:
        return segment
    places = [segment.outputs.index(name) for name in outputs]
    return replace(segment, module=_returning(segment.module, places), outputs=outputs)


def _returning(step: nn.Module, places: list[int]) -> fx.GraphModule:
    """Return the step with some of its results only; its layers keep their names."""
    graph = one_step(step)
    (last,) = [node for node in graph.graph.nodes if node.op == "output"]
    results = last.args[0]
    some = tuple(results[place] for place in places)
    last.args = (some if len(some) > 1 else some[0],)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


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
        results = as_tuple(module(*[values[place].float() for place in inputs.values()]))
    form: Literal["sequence", "window"] = "sequence"
    if segment.form == READOUT:
        form, results = "window", tuple(y_B[None] for y_B in results)
    values |= dict(zip(segment.outputs, results, strict=True))
    outputs = dict(zip(_numbered("output", len(results)), segment.outputs, strict=True))
    return HostDraft(segment.name, module, form, inputs, outputs, values)


def _numbered(word: str, count: int) -> tuple[str, ...]:
    """Return names of an ONNX file's own, which no value inside of it has."""
    return (word,) if count == 1 else tuple(f"{word}_{i}" for i in range(count))
