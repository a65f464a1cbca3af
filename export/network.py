"""From a model to a bundle on disk: convert, verify on real samples, write whole or not at all."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.audit import Agreement
from spikeport.export.bundle import GOLDEN, MANIFEST, Bundle, Golden
from spikeport.export.convert import Conversion, convert
from spikeport.export.manifest import ChipSpec, HostSpec, InputSpec, Manifest, RewriteSpec, Verification
from spikeport.export.nir_file import write_nir
from spikeport.export.onnx_stage import HOST_TOLERANCE, HostFunction, export_window, host_difference, macs_per_call
from spikeport.export.recording import Recording
from spikeport.export.verify import record_model, verify
from spikeport.files import new_folder, refuse_existing, sha256
from spikeport.models.network import SpikingNetwork

GOLDEN_SAMPLES = 8
CORE, READOUT, SPIKES = "core", "readout", "spikes"


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
) -> Bundle:
    """Write the bundle of `model` to the new folder `out`.

    Args:
        model: a `SpikingNetwork`, or any module that computes one time step; left untouched.
        sample: real encoded inputs [T, B, *shape], one tensor or one for each forward argument. The export is
            verified on all of them; the first few become the bundle's golden samples.
        dt_s: the time step in seconds.
        out: a folder that does not exist.
        description: see there.
        check: `False` writes without verification, and the manifest says so.

    Raises:
        UnfaithfulError: the model has no faithful form, or the converted graph is not the model.
        UsageError: `out` exists, or the sample does not fit.
    """
    refuse_existing(out)
    core, readout = (model.core, model.readout) if isinstance(model, SpikingNetwork) else (model, None)
    names = model.input_names if isinstance(model, SpikingNetwork) else None
    sample_TB = _named(core, sample, names)
    conversion = convert(core, {n: x[0] for n, x in sample_TB.items()}, dt_s, names)
    agreement = verify(conversion, sample_TB) if check else None
    recording = record_model(conversion, {n: x[:, :GOLDEN_SAMPLES] for n, x in sample_TB.items()})
    with new_folder(out) as folder:
        _write(folder, conversion, readout, sample_TB, recording, agreement, description)
    return Bundle.open(out)


def _named(core: nn.Module, sample: Tensor | Mapping[str, Tensor], names: tuple[str, ...] | None) -> dict[str, Tensor]:
    if isinstance(sample, Tensor):
        first = (names or tuple(inspect.signature(getattr(core, "_orig_mod", core).forward).parameters))[0]
        sample = {first: sample}
    tensors = {n: x.detach().cpu() for n, x in sample.items()}
    for name, x in tensors.items():
        if x.ndim < 3 or x.shape[0] < 1 or x.shape[1] < 1:
            raise UsageError(
                f"sample '{name}' of shape {tuple(x.shape)}", "it is not [T, B, *shape]", "Stack the steps first"
            )
        if not bool(torch.isfinite(x).all()):
            raise UsageError(f"sample '{name}'", "it holds NaN or infinity", "Clean the data")
    if len(leading := {tuple(x.shape[:2]) for x in tensors.values()}) > 1:
        raise UsageError(f"samples of [T, B] {sorted(leading)}", "all inputs need the same T and B", "Align them")
    return tensors


def _write(
    folder: Path,
    conversion: Conversion,
    readout: nn.Module | None,
    sample_TB: Mapping[str, Tensor],
    recording: Recording,
    agreement: Agreement | None,
    description: Description,
) -> None:
    graph = conversion.graph
    write_nir(folder / "00_core.nir", graph)
    tensors = {n: n if readout is None else SPIKES for n in graph.outputs}
    stages: list[ChipSpec | HostSpec] = [
        ChipSpec(
            name=CORE,
            file="00_core.nir",
            sha256=sha256(folder / "00_core.nir"),
            registers=tuple(sorted(graph.registers)),
            inputs={n: n for n in graph.inputs},
            outputs=tensors,
        )
    ]
    outputs = {tensors[n]: recording.nodes[n] for n in graph.outputs}
    difference = None
    if readout is not None:
        spec, logits_BK, difference = _write_readout(folder, readout, outputs)
        stages.append(spec)
        outputs = {"logits": logits_BK[None]}
    timesteps, samples = next(iter(sample_TB.values())).shape[:2]
    golden_inputs = {n: _compact(x[:, :GOLDEN_SAMPLES].numpy()) for n, x in sample_TB.items()}
    Golden(golden_inputs, {CORE: recording.nodes}, outputs).save(folder / GOLDEN)
    manifest = Manifest(
        name=description.name,
        dt_s=graph.dt_s,
        timesteps=timesteps,
        inputs=tuple(
            InputSpec(name=n, shape=graph.shapes[n], encoding=description.encodings.get(n)) for n in graph.inputs
        ),
        outputs=tuple(outputs),
        stages=tuple(stages),
        golden_sha256=sha256(folder / GOLDEN),
        rewrites=tuple(RewriteSpec(node=r.node, what=r.what, bound=r.bound) for r in conversion.rewrites),
        verification=_verification(agreement, samples, difference),
        provenance=dict(description.provenance),
    )
    (folder / MANIFEST).write_text(manifest.dump(), encoding="utf-8")


def _write_readout(
    folder: Path, readout: nn.Module, spikes: Mapping[str, Any]
) -> tuple[HostSpec, np.ndarray[Any, np.dtype[np.float32]], float]:
    """Write the readout as ONNX and hold it against torch on the golden spikes."""
    if len(spikes) != 1:
        raise UnfaithfulError("readout", f"the core has {len(spikes)} outputs and the readout takes one", "Return one")
    path = folder / "01_readout.onnx"
    spikes_TBN = torch.from_numpy(next(iter(spikes.values())).astype(np.float32))
    export_window(readout, spikes_TBN, path)
    with torch.no_grad():
        expected = copy.deepcopy(readout).cpu().eval()(spikes_TBN).numpy()
    got = HostFunction(path)({"input": spikes_TBN.numpy()})["output"]
    difference = host_difference(expected, got)
    if difference > HOST_TOLERANCE:
        raise UnfaithfulError("readout", f"its ONNX form differs by {difference:.2g}", "Please report this network")
    macs, left_out = macs_per_call(path)
    spec = HostSpec(
        name=READOUT,
        file=path.name,
        sha256=sha256(path),
        form="window",
        timesteps_out=1,
        inputs={"input": SPIKES},
        outputs={"output": "logits"},
        macs_per_call=macs,
        not_counted=left_out,
    )
    return spec, expected, difference


def _verification(agreement: Agreement | None, samples: int, difference: float | None) -> Verification:
    if agreement is None:
        return Verification(status="skipped", samples=0, entries=0, ties=0, host_max_difference=difference)
    return Verification(
        status="exact",
        samples=samples,
        entries=agreement.entries,
        ties=agreement.ties,
        host_max_difference=difference,
    )


def _compact(x: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    """Store spikes as bytes."""
    return x.astype(np.uint8) if np.isin(x, (0, 1)).all() else x
