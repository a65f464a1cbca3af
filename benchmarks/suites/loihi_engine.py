"""Suite `loihi-engine`: our integer engine against Lava's own simulation of the same integers.

Lava runs one sample at a time; so the batch-128 rows set our time per sample of a whole batch against Lava's for one.
Start-up (imports, processes, compilation) is no part of the ratio and stands in the notes. Ours is timed before
and after Lava, in the same run, input packing included.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeport.benchmarks.suites.limit import synaptic_limit
from spikeport.benchmarks.suites.loihi_nets import DU, DV, TIMESTEPS, SuiteNet, suite_input, suite_nets
from spikeport.benchmarks.suites.result import SuiteResult, SuiteRow, this_machine
from spikeport.deploy.isolated import Environment
from spikeport.deploy.loihi.engine import Engine
from spikeport.errors import SpikeportError

WORKER = Path(__file__).parent / "lava_peer" / "worker.py"
PEER = "lava-nc 0.10.0"
UNIT = "us per sample and step"
BATCHES = (128, 1)
LAVA_REPEATS = 8
ROUNDS = 15


@dataclass(frozen=True)
class _Lava:
    """What Lava did: seconds a step of each repeat, start-up, and spikes [T, *shape] by layer."""

    seconds: Sequence[float]
    start_s: float
    spikes: dict[str, NDArray[Any]]


def run() -> SuiteResult:
    """Measure every network at every batch size."""
    rows = [row for net in suite_nets() for row in _rows(net)]
    return SuiteResult(suite="loihi-engine", machine=this_machine(), rows=tuple(rows))


def _rows(net: SuiteNet) -> list[SuiteRow]:
    begin = time.perf_counter()
    engine = Engine(net.network())
    x = suite_input(net, max(BATCHES))
    records = engine.run({"input": x})
    start_s = time.perf_counter() - begin
    batches = {batch: np.ascontiguousarray(x[:, :batch]) for batch in BATCHES}
    ours = {batch: _time(engine, given) for batch, given in batches.items()}
    try:
        lava = _lava(net, x[:, 0])
    except SpikeportError as error:
        return [_row(net, batch, ours[batch], None, None, str(error), {}) for batch in BATCHES]
    for batch, given in batches.items():
        ours[batch] += _time(engine, given)
    equal = all(np.array_equal(records.spikes[name][:, 0], spikes) for name, spikes in lava.spikes.items())
    notes = _work(engine, records.spikes, x) | {"start-up s": start_s, "Lava start-up s": lava.start_s}
    theirs = statistics.median(lava.seconds)
    return [_row(net, batch, ours[batch], theirs, equal, None, notes) for batch in BATCHES]


def _time(engine: Engine, x: NDArray[np.uint8]) -> list[float]:
    """Return seconds per sample and step of each round."""
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        engine.run({"input": x})
        seconds.append((time.perf_counter() - begin) / x.shape[0] / x.shape[1])
    return seconds


def _row(
    net: SuiteNet,
    batch: int,
    ours: Sequence[float],
    theirs: float | None,
    equal: bool | None,
    reason: str | None,
    notes: dict[str, float | str],
) -> SuiteRow:
    seconds = statistics.median(ours)
    spread = f"{min(ours) * 1e6:.3g} to {max(ours) * 1e6:.3g}"
    limit = notes.get("limit us")
    share = {"of the limit": f"{float(limit) / seconds / 1e6:.0%}"} if limit is not None else {}
    return SuiteRow(
        case=f"{net.name}/batch-{batch}",
        peer=PEER,
        ours=seconds * 1e6,
        theirs=None if theirs is None else theirs * 1e6,
        unit=UNIT,
        ratio=None if theirs is None else theirs / seconds,
        equal=equal,
        reason=reason,
        notes={"range us": spread, **share, **notes},
    )


def _work(engine: Engine, spikes: dict[str, Any] | Any, x: NDArray[np.uint8]) -> dict[str, float | str]:
    """Return what a step does, and the least time that it could take on this machine."""
    network = engine.network
    rates = {p.name: float(spikes[p.name].mean()) for p in network.populations}
    active = {"input": float(x.mean())} | rates
    events = sum(active[s.source] * s.weight.nnz for s in network.synapses)
    neurons = sum(p.size for p in network.populations)
    limit = synaptic_limit(engine, active) * 1e6
    hidden = [f"{rate:.0%}" for rate in list(rates.values())[:-1]]
    return {
        "hidden activity": " ".join(hidden),
        "synaptic events a step": events,
        "neurons": float(neurons),
        "limit us": limit,
    }


def _lava(net: SuiteNet, x_T: NDArray[np.uint8]) -> _Lava:
    """Run Lava on one sample.

    Raises:
        SpikeportError: its environment cannot be made, or it failed.
    """
    with tempfile.TemporaryDirectory(prefix="spikeport-suite-") as name:
        folder = Path(name)
        layers = [{"kind": x.kind, "stride": x.stride, "shape": x.shape, "vth_mant": x.vth_mant} for x in net.layers]
        request = {"layers": layers, "du": DU, "dv": DV, "steps": TIMESTEPS, "repeats": LAVA_REPEATS}
        (folder / "request.json").write_text(json.dumps(request), "utf-8")
        weights = {f"weight{i}": layer.weight for i, layer in enumerate(net.layers)}
        np.savez(folder / "arrays.npz", input=x_T.astype(np.int64), **weights)  # type: ignore[arg-type]
        Environment("lava", prefer=("3.10",)).run(WORKER, folder)
        answer = json.loads((folder / "answer.json").read_text("utf-8"))
        with np.load(folder / "spikes.npz") as stored:
            spikes = dict(stored)
    return _Lava(answer["seconds_per_step"], answer["import_s"] + answer["start_s"], spikes)
