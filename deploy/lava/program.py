"""A lowered stage, run by Lava in its isolated environment."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.backend import Inputs
from spikeport.deploy.isolated import Environment
from spikeport.deploy.lava.plan import Plan, PlannedLayer, PlannedSource
from spikeport.deploy.loihi.integers import integers, padded, recording_of
from spikeport.deploy.loihi.quantise import LayerReport
from spikeport.deploy.stage import ONE, HopStage
from spikeport.errors import UnfaithfulError
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import check_inputs
from spikeport.export.recording import Recording

Array = NDArray[np.generic]

ENVIRONMENT = Environment("lava", prefer=("3.10",))
WORKER = Path(__file__).parent / "worker"

# Copies of the network that run side by side: as many as keep Lava's cost a step below the arithmetic's.
_SYNAPSES_AT_ONCE = 8_000_000
_NEURONS_AT_ONCE = 200_000
_MOST_COPIES = 64


@dataclass(frozen=True)
class Times:
    """Steps of one run: `steps` a sample are recorded, `period` pass before the next one starts."""

    timesteps: int
    steps: int
    period: int


@dataclass(frozen=True)
class LavaProgram:
    """A plan, with what its inputs and records mean.

    Attributes:
        graph: the stage.
        stage: its layers and hops.
        plan: what the worker builds.
        unit_roundoff: of the arithmetic, `None` where it is quantised.
        input_scales: integers sent for an input of 1, by input.
        input_limits: the largest magnitude that was made room for, by input.
        value_scales: what a recorded membrane or current of 1 is in the record, by the node that shows it: a number,
            or one for each of the layer's neurons, [*shape].
        reports: what quantisation did, by layer.
        environment: where Lava lives.
    """

    graph: ChipGraph
    stage: HopStage
    plan: Plan
    unit_roundoff: float | None
    input_scales: Mapping[str, float] = field(default_factory=dict)
    input_limits: Mapping[str, float] = field(default_factory=dict)
    value_scales: Mapping[str, float | NDArray[np.float64]] = field(default_factory=dict)
    reports: Mapping[str, LayerReport] = field(default_factory=dict)
    environment: Environment = ENVIRONMENT

    def run(self, inputs_TBN: Inputs) -> Recording:
        """Run all samples, each from the zero state, in one Lava run."""
        arrays = check_inputs(self.graph, inputs_TBN)
        timesteps, samples = next(iter(arrays.values())).shape[:2]
        steps = timesteps + self.stage.latency
        times = Times(timesteps, steps, steps + self.stage.gap)
        nodes: dict[str, Array] = {}
        if self.plan.layers:
            nodes = self._run_lava(arrays, times, samples)
        return recording_of(self.stage, nodes, arrays, timesteps, self.unit_roundoff)

    def save(self, folder: Path) -> None:
        """Write the plan, what quantisation did, and the worker.

        `python worker/main.py FOLDER` runs the plan in an environment with Lava, given `run.json` and inputs.
        """
        self.plan.save(folder)
        if self.reports:
            reports = {name: asdict(report) for name, report in self.reports.items()}
            (folder / "quantisation.json").write_text(json.dumps(reports, indent=2) + "\n", "utf-8")
        shutil.copytree(WORKER, folder / "worker", ignore=shutil.ignore_patterns("__pycache__"))

    def copies(self, samples: int) -> int:
        """Return how many samples run side by side; fewer where the last batch would be mostly empty."""
        neurons = sum(layer.size for layer in self.plan.layers) + sum(s.size for s in self.plan.sources)
        fit = min(_SYNAPSES_AT_ONCE // max(self.plan.synapses, 1), _NEURONS_AT_ONCE // neurons, _MOST_COPIES)
        batches = ceil(samples / min(max(fit, 1), samples))
        return ceil(samples / batches)

    def _run_lava(self, arrays: Mapping[str, NDArray[np.float64]], times: Times, samples: int) -> dict[str, Array]:
        copies = self.copies(samples)
        batches = ceil(samples / copies)
        with tempfile.TemporaryDirectory(prefix="spikeport-lava-") as name:
            folder = Path(name)
            self.plan.save(folder)
            request = {"steps": batches * times.period, "period": times.period, "stop": times.steps, "copies": copies}
            (folder / "run.json").write_text(json.dumps(request), "utf-8")
            for source in self.plan.sources:
                rows = self._rows(source, arrays, times, samples)
                np.save(folder / f"{source.name}.npy", _to_batches(rows, batches, copies))
            self.environment.run(WORKER / "main.py", folder)
            self._check_ranges(folder)
            return {
                node: self._record(folder / f"record-{layer.name}-{kind}.npy", layer, node, (times.steps, samples))
                for layer in self.plan.layers
                for kind, node in layer.records.items()
            }

    def _check_ranges(self, folder: Path) -> None:
        """Refuse a run in which a state left its 24 bits and the result means nothing.

        Loihi wraps a synaptic sum, and holds or resets a membrane that is read.
        """
        for layer in self.plan.layers:
            wraps, held, fired = np.load(folder / f"counts-{layer.name}.npy").tolist()
            left = {"synaptic input": wraps}
            if "membrane" in layer.records and "spikes" not in layer.records:
                left["membrane, which is read,"] = held + fired
            for state, times in left.items():
                if times:
                    raise UnfaithfulError(
                        f"node '{layer.node}'",
                        f"its {state} left the 24 bits {times} times on these samples",
                        "Calibrate with samples like these",
                    )

    def _rows(
        self, source: PlannedSource, arrays: Mapping[str, NDArray[np.float64]], times: Times, samples: int
    ) -> Array:
        """Return what `source` sends, [period, B, N], in the smallest type that holds it."""
        if source.node == ONE:
            return np.ones((times.period, samples, 1), dtype=np.uint8)
        values = arrays[source.node].reshape(times.timesteps, samples, source.size)
        if self.plan.tag == "fixed_pt":
            values = integers(source.node, values, self.input_scales, self.input_limits)
        whole = np.all((values >= 0) & (values <= np.iinfo(np.uint8).max) & (values == np.rint(values)))
        return padded(values.astype(np.uint8) if whole else values, source.shift, times.period)

    def _record(self, path: Path, layer: PlannedLayer, node: str, leading: tuple[int, int]) -> Array:
        """Return what `node` shows of a layer, [steps, samples, *shape]."""
        steps, samples = leading
        rows: Array = np.load(path, mmap_mode="r")
        shape = next(x.shape for x in self.stage.layers if x.name == layer.node)
        batches = ceil(samples / self.copies(samples))
        by_sample = _from_batches(rows, batches, layer.size)[:steps, :samples]
        shown = by_sample.reshape(steps, samples, *shape)
        if node == layer.records.get("spikes"):
            return shown
        return shown.astype(np.float64) / self.value_scales.get(node, 1.0)


def _to_batches(rows_PBN: Array, batches: int, copies: int) -> Array:
    """[period, B, N] -> [batches * period, copies * N]; missing samples are zero."""
    period, samples, size = rows_PBN.shape
    full = np.zeros((period, batches * copies, size), dtype=rows_PBN.dtype)
    full[:, :samples] = rows_PBN
    moved = np.moveaxis(full.reshape(period, batches, copies, size), 1, 0)
    return np.ascontiguousarray(moved).reshape(batches * period, copies * size)


def _from_batches(rows: Array, batches: int, size: int) -> Array:
    """[batches * period, copies * N] -> [period, batches * copies, N]."""
    period, copies = len(rows) // batches, rows.shape[1] // size
    moved = np.moveaxis(rows.reshape(batches, period, copies, size), 0, 1)
    return np.ascontiguousarray(moved).reshape(period, batches * copies, size)
