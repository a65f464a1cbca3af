"""From a model to a bundle on disk: convert, verify on real samples, write whole or not at all."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.bundle import Bundle, Golden
from spikeport.export.convert import Rewrite
from spikeport.export.convert.window import KINDS as WINDOW_KINDS
from spikeport.export.coverage import Coverage, check_required, cover, require
from spikeport.export.drafts import Drafts, draft
from spikeport.export.graph import check_dt
from spikeport.export.host_draft import HostDraft
from spikeport.export.host_state import FORGETS, HOST_SPIKES
from spikeport.export.looped.network import Looped, looped
from spikeport.export.looped.stages import draft_looped
from spikeport.export.manifest import GOLDEN, MANIFEST, InputSpec, Manifest, RewriteSpec, Verification
from spikeport.export.proof import replay
from spikeport.export.segments import draft_network
from spikeport.export.untouched import untouched
from spikeport.files import new_folder, refuse_existing, same_file, sha256
from spikeport.models.network import SpikingNetwork

GOLDEN_SAMPLES = 8


@dataclass(frozen=True)
class Description:
    """What a bundle says beside the network itself.

    Attributes:
        name: for the user.
        encodings: how raw data become each input, as JSON.
        provenance: versions, hashes, the run it came from.
    """

    name: str
    encodings: Mapping[str, dict[str, Any]]
    provenance: Mapping[str, Any]


def export_network(
    model: nn.Module,
    sample: Tensor | Mapping[str, Tensor],
    dt_s: float,
    out: Path,
    description: Description,
    check: bool = True,
    feedback: Mapping[str, int] | None = None,
    require_coverage: float | None = None,
    answer: str | None = None,
) -> Bundle:
    """Write the bundle of `model` to the new folder `out`.

    Args:
        model: a `SpikingNetwork`, or any module that computes one time step or, of window neurons, all of them; left
            untouched.
        sample: real encoded inputs [T, B, *shape], one tensor or one for each forward argument. The export is
            verified on all of them; the first few become the bundle's golden samples.
        dt_s: the time step in seconds.
        out: a folder that does not exist.
        description: see there.
        check: `False` writes without verification, and the manifest says so.
        feedback: the arguments of forward that are one of its outputs of the step before (0 at first), with its place
            among them, counted from 0. They are not in the sample.
        require_coverage: the least share of the neurons of every spiking node that the sample must exercise.
        answer: the output that scores are read from, by default what forward returns first.

    Raises:
        UnfaithfulError: the model has no faithful form, the converted graph is not the model, or the sample exercises
            less than is required.
        UsageError: `out` exists, the sample does not fit, or there is no such answer.
    """
    refuse_existing(out)
    check_dt(dt_s)
    check_required(require_coverage, check)
    names = model.input_names if isinstance(model, SpikingNetwork) else None
    given = _by_name(model, sample, names)
    _check_finite(given)
    network = None if names or feedback else _looped(model, given)
    sample_TB = network.inputs_TB if network else given
    if not network:
        _check_steps(sample_TB)
    _check_feedback(model, sample_TB, feedback or {})
    with untouched(model):
        if isinstance(model, SpikingNetwork):
            stages = draft_network(model, sample_TB, dt_s, check)
        elif network:
            stages = draft_looped(model, network, given, dt_s, check)
        else:
            stages = draft(model, sample_TB, dt_s, None, check, feedback)
        if answer is not None:
            stages = _answering(stages, answer)
        if require_coverage is not None:
            require(_coverage(stages), require_coverage)
        with new_folder(out) as folder:
            _write(folder, stages, sample_TB, dt_s, check, description)
            if check:
                _check_proof(folder)
    return Bundle.open(out)


def _answering(stages: Drafts, answer: str) -> Drafts:
    """Put the output that scores are read from in front."""
    if answer not in stages.outputs:
        raise UsageError(f"answer '{answer}'", f"the outputs are {list(stages.outputs)}", "Name one of them")
    return replace(stages, outputs={answer: stages.outputs[answer]} | stages.outputs)


def _check_proof(folder: Path) -> None:
    """Replay the bundle as whoever runs it will: what would be refused there is not written."""
    found = replay(Bundle.open(folder)).disagreement
    if found is not None:
        fix = "Please report this network; --no-verify writes the bundle unverified and says so"
        raise UnfaithfulError(f"the bundle's {found.where}", f"it is not its golden recording: {found.reason}", fix)


def _check_feedback(model: nn.Module, sample_TB: Mapping[str, Tensor], feedback: Mapping[str, int]) -> None:
    if feedback and isinstance(model, SpikingNetwork):
        reason = "a SpikingNetwork calls its segments without anything of the step before"
        raise UsageError(f"feedback {dict(feedback)}", reason, "Export the segment alone")
    if both := sorted(set(feedback) & set(sample_TB)):
        reason = "it is in the sample too, and comes from forward itself, from 0"
        raise UsageError(f"feedback '{both[0]}'", reason, "Leave it out of the sample")


def _looped(model: nn.Module, given: Mapping[str, Tensor]) -> Looped | None:
    """Return the stages of a network whose forward loops over time, `None` for any other."""
    if any(isinstance(module, WINDOW_KINDS) for module in model.modules()):
        return None
    return looped(model, given)


def _by_name(
    model: nn.Module, sample: Tensor | Mapping[str, Tensor], names: tuple[str, ...] | None
) -> dict[str, Tensor]:
    if isinstance(sample, Tensor):
        first = (names or tuple(inspect.signature(getattr(model, "_orig_mod", model).forward).parameters))[0]
        sample = {first: sample}
    # A copy: what runs on it may change it in place.
    return {n: x.detach().cpu().clone(memory_format=torch.contiguous_format) for n, x in sample.items()}


def _check_finite(sample: Mapping[str, Tensor]) -> None:
    """Raise `UsageError` where a sample holds NaN or infinity."""
    for name, x in sample.items():
        if not bool(torch.isfinite(x).all()):
            raise UsageError(f"sample '{name}'", "it holds NaN or infinity", "Clean the data")


def _check_steps(sample_TB: Mapping[str, Tensor]) -> None:
    """Raise `UsageError` where what goes in step by step is not [T, B, *shape] of one T and B."""
    for name, x in sample_TB.items():
        if x.ndim < 3 or x.shape[0] < 1 or x.shape[1] < 1:
            raise UsageError(
                f"sample '{name}' of shape {tuple(x.shape)}", "it is not [T, B, *shape]", "Stack the steps first"
            )
    if len(leading := {tuple(x.shape[:2]) for x in sample_TB.values()}) > 1:
        raise UsageError(f"samples of [T, B] {sorted(leading)}", "all inputs need the same T and B", "Align them")


def _write(
    folder: Path,
    drafts: Drafts,
    sample_TB: Mapping[str, Tensor],
    dt_s: float,
    check: bool,
    description: Description,
) -> None:
    if name := same_file(stage.name for stage in drafts.stages):
        raise UsageError(f"stage '{name}'", "two stages of the network would be called so", "Rename a segment")
    specs = tuple(stage.write(folder, i) for i, stage in enumerate(drafts.stages))
    _golden(drafts, sample_TB).save(folder / GOLDEN)
    timesteps = len(next(iter(sample_TB.values())))
    rewrites = [*drafts.rewrites, *(rewrite for chip in drafts.chips for rewrite in chip.conversion.rewrites)]
    hosts = [stage for stage in drafts.stages if isinstance(stage, HostDraft)]
    rewrites += [Rewrite(n.name, FORGETS) for stage in hosts for n in stage.neurons if n.forgets]
    manifest = Manifest(
        name=description.name,
        dt_s=dt_s,
        timesteps=timesteps,
        inputs=tuple(
            InputSpec(name=n, shape=tuple(x.shape[2:]), encoding=description.encodings.get(n))
            for n, x in sample_TB.items()
        ),
        outputs=tuple(drafts.outputs),
        # Of several outputs, the first that forward returns is what scores are read from.
        answer=next(iter(drafts.outputs)),
        stages=specs,
        registers=drafts.registers,
        golden_sha256=sha256(folder / GOLDEN),
        rewrites=tuple(RewriteSpec(node=r.node, what=r.what, bound=r.bound) for r in rewrites),
        verification=_verification(drafts, sample_TB, check),
        provenance=dict(description.provenance),
    )
    (folder / MANIFEST).write_text(manifest.dump(), encoding="utf-8")


def _golden(drafts: Drafts, sample_TB: Mapping[str, Tensor]) -> Golden:
    """The first samples, with what the model did on them."""
    few = slice(GOLDEN_SAMPLES)
    hosts = [stage for stage in drafts.stages if isinstance(stage, HostDraft)]
    handed_on = {tensor: host.values_TB[tensor] for host in hosts for tensor in host.outputs.values()}
    return Golden(
        {n: _compact(x[:, few].numpy()) for n, x in sample_TB.items()},
        {chip.name: {n: x[:, few] for n, x in chip.recording.nodes.items()} for chip in drafts.chips},
        {n: x[:, few].numpy() for n, x in drafts.outputs.items()},
        {n: _compact(x[:, few].numpy()) for n, x in handed_on.items() if n not in drafts.outputs},
        {host.name: {n: _compact(x[:, few].numpy()) for n, x in host.inside_TB.items()} for host in hosts},
        {chip.name: u for chip in drafts.chips if (u := chip.recording.unit_roundoff) is not None},
    )


def _verification(drafts: Drafts, sample_TB: Mapping[str, Tensor], check: bool) -> Verification:
    """Call it once the stages are written: only then is the host's difference known."""
    audits = [chip.agreement for chip in drafts.chips if chip.agreement]
    host = [stage.agreement for stage in drafts.stages if isinstance(stage, HostDraft)]
    return Verification(
        status="exact" if check else "skipped",
        samples=next(iter(sample_TB.values())).shape[1] if check else 0,
        entries=sum(audit.entries for audit in audits) + sum(stage.entries for stage in host),
        ties=sum(audit.ties for audit in audits) + sum(stage.ties for stage in host),
        host_max_difference=max(stage.difference for stage in host) if host else None,
        coverage=_coverage(drafts) if check else None,
    )


def _coverage(drafts: Drafts) -> Coverage:
    """What the sample exercised, of the chip's neurons and of those that run on the host."""
    hosts = [stage for stage in drafts.stages if isinstance(stage, HostDraft)]
    on_host = {
        f"{stage.name}.{neuron.name}": stage.inside_TB[HOST_SPIKES + neuron.name].numpy()
        for stage in hosts
        for neuron in stage.neurons
    }
    return cover(((chip.name, chip.conversion.graph, chip.recording) for chip in drafts.chips), on_host)


def _compact(x: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    """Store spikes as bytes."""
    return x.astype(np.uint8) if np.isin(x, (0, 1)).all() else x
