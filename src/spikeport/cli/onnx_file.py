"""What `spikeport export --onnx` writes: an ANN's run as it is, a spiking network as one stateful step."""

from __future__ import annotations

from pathlib import Path

from spikeport.errors import UsageError
from spikeport.export.audit import Agreement
from spikeport.export.bundle import Bundle
from spikeport.export.onnx import verify_step_onnx, write_ann_onnx, write_step_onnx
from spikeport.export.stages import ChipStage
from spikeport.models.twin import Twin
from spikeport.train.run import Run
from spikeport.train.samples import network_inputs, open_dataset


def write_ann(run: Run, network: Twin, path: Path, samples: int) -> float:
    """Write `network`, the ANN of `run`, checked on `samples` of its validation part; return the largest difference."""
    part = open_dataset(run.recipe).split("val").take(slice(samples))
    return write_ann_onnx(network, network_inputs(run.recipe, network, part, run.recipe.data.split_seed), path)


def write_step(bundle: Bundle, path: Path, check: bool) -> Agreement | None:
    """Write the chip stage of `bundle`, audited on its golden samples where `check` says so.

    Raises:
        UsageError: the bundle has several chip stages, or one behind a host stage.
    """
    chips = [stage for stage in bundle.network.stages if isinstance(stage, ChipStage)]
    golden = bundle.golden().inputs
    if len(chips) != 1 or not set(chips[0].inputs.values()) <= set(golden):
        raise UsageError(
            "--onnx",
            f"the network is cut into {len(bundle.network.stages)} stages, and a step file holds one chip stage at its "
            "start",
            "Drop --onnx; the bundle's host stages are ONNX files already",
        )
    (stage,) = chips
    write_step_onnx(stage.graph, path)
    return verify_step_onnx(stage.graph, path, {n: golden[t] for n, t in stage.inputs.items()}) if check else None
