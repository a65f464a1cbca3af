"""One sample for the report: its inputs as pictures and the spikes that they cause.

Shape suffixes: T time steps, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spikeport.benchmarks import blocks
from spikeport.benchmarks.rows import Scored
from spikeport.benchmarks.samples import Samples
from spikeport.benchmarks.subject import Subject
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import Interpreter
from spikeport.export.neurons import Array, Neuron, Spikes

TRACED = 3
"""Neurons of each node whose membranes are shown."""


def example(subject: Subject, samples: Samples, scored: Sequence[Scored]) -> blocks.Example | None:
    """Return the first sample with the rasters of the first row that ran, `None` where none did."""
    ran = [s for s in scored if s.run is not None]
    if not ran or ran[0].run is None:
        return None
    return blocks.Example(
        label=str(samples.labels_N[0]),
        predicted={s.row.name: str(s.answers_N[0]) for s in scored if s.answers_N is not None},
        inputs=_pictures(samples),
        rasters=tuple(_rasters(subject, ran[0])),
        traces=tuple(trace for stage in subject.staged.chips for trace in _traces(stage.graph, ran[0], stage.name)),
    )


def _pictures(samples: Samples) -> tuple[blocks.Heatmap, ...]:
    if samples.raw is not None:
        return tuple(_picture(name, x[0]) for name, x in samples.raw.inputs.items())
    return tuple(_picture(f"{n} (spikes a step)", x[:, 0].mean(axis=0)) for n, x in samples.encoded.items())


def _picture(name: str, x: NDArray[np.generic]) -> blocks.Heatmap:
    """A still is shown as it is, a film summed over time; a sequence [frames, features] with time along x."""
    if x.ndim == 4:
        x = x.sum(axis=0)
    if x.ndim == 3:
        values, labels = x.sum(axis=0), ("x", "y")
    elif x.ndim == 2:
        values, labels = x.T, ("frame", "feature")
    else:
        values, labels = x.reshape(1, -1), ("feature", "")
    rounded = tuple(tuple(round(float(v), 4) for v in row) for row in values)
    return blocks.Heatmap(
        name=name, values=rounded, x_label=labels[0], y_label=labels[1], origin="lower" if x.ndim == 2 else "upper"
    )


def _rasters(subject: Subject, scored: Scored) -> list[blocks.Raster]:
    assert scored.run is not None
    rasters = []
    for stage in subject.staged.chips:
        recording = scored.run.recordings[stage.name]
        shown = [(name, scored.run.chip_inputs[stage.name][name]) for name in stage.graph.inputs]
        shown += [(name, recording.aligned(name)) for name in stage.graph.spiking]
        rasters += [_raster(name, values[:, 0]) for name, values in shown if np.isin(values[:, 0], (0, 1)).all()]
    return rasters


def _raster(name: str, spikes: NDArray[np.generic]) -> blocks.Raster:
    flat_TN = spikes.reshape(len(spikes), -1)
    events = np.argwhere(flat_TN != 0)
    return blocks.Raster(
        node=name,
        neurons=flat_TN.shape[1],
        timesteps=len(flat_TN),
        events=tuple((int(t), int(n)) for t, n in events),
    )


def _traces(graph: ChipGraph, scored: Scored, stage: str) -> list[blocks.Trace]:
    """The reference's membranes of the neurons that fire most, on the inputs that the shown row ran on."""
    assert scored.run is not None
    membranes: dict[str, list[Array]] = {name: [] for name in graph.spiking}
    fired: dict[str, list[Spikes]] = {name: [] for name in graph.spiking}

    def note(name: str, v_BN: Array, spikes_BN: Spikes) -> Spikes:
        membranes[name].append(v_BN[0].ravel().copy())
        fired[name].append(spikes_BN[0].ravel().copy())
        return spikes_BN

    interpreter = Interpreter(graph, note)
    interpreter.reset(1)
    inputs = {name: x[:, :1].astype(np.float64) for name, x in scored.run.chip_inputs[stage].items()}
    for step in range(len(next(iter(inputs.values())))):
        interpreter.step({name: x[step] for name, x in inputs.items()})
    return [
        _trace(name, np.stack(membranes[name]), np.stack(fired[name]), interpreter.neurons[name])
        for name in graph.spiking
    ]


def _trace(name: str, v_TN: Array, fired_TN: NDArray[np.bool_], cell: Neuron) -> blocks.Trace:
    most = np.argsort(-fired_TN.sum(axis=0), kind="stable")[:TRACED]
    threshold_N = np.broadcast_to(cell.v_threshold, cell.shape).ravel()
    return blocks.Trace(
        node=name,
        neurons=tuple(int(n) for n in most),
        values=tuple(tuple(round(float(v), 6) for v in v_TN[:, n]) for n in most),
        thresholds=tuple(float(threshold_N[n]) for n in most),
    )
