"""Suite `training`: one training step, time-folded, against the plain snnTorch loop and SpikingJelly's multi-step mode.

A step is forward, cross-entropy and backward, without the update. The plain loop is the same network object, one time
step after the other, and every round times both. SpikingJelly runs in a process of its own beside the same plain loop,
so that its rows compare times over that loop's. `ratio` is the median over rounds; `equal` says whether spikes, logits
and all gradients are the same, in double precision.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeport.benchmarks.suites.counting import PeerEnvironment
from spikeport.benchmarks.suites.result import SuiteResult, SuiteRow, this_machine
from spikeport.benchmarks.suites.training_cases import CASES, Work, work
from spikeport.benchmarks.suites.training_described import describe
from spikeport.benchmarks.suites.training_equal import Computed, computed
from spikeport.benchmarks.suites.training_peer.steps import interleaved, train_step
from spikeport.errors import SpikeportError

WORKER = Path(__file__).parent / "training_peer" / "worker.py"
LOOP, SPIKINGJELLY = "snnTorch loop", "SpikingJelly 2.0.0"
ROUNDS = 9
Seconds = dict[str, list[float]]


def run() -> SuiteResult:
    """Measure every case at each number of steps."""
    rows = [
        row for case in CASES for steps in case.steps for row in rows_of(f"{case.name} T={steps}", work(case, steps))
    ]
    return SuiteResult(suite="training", machine=this_machine(), rows=tuple(rows))


def rows_of(name: str, work: Work) -> list[SuiteRow]:
    """Return the case's rows, one for each peer."""
    ours = computed(work, folded=True)
    step, forward = _steps(work), _forwards(work)
    loop = _loop_row(name, work, ours.same(computed(work, folded=False)), step, forward)
    return [loop, _spikingjelly_row(name, work, ours, step, forward)]


def _loop_row(name: str, work: Work, equal: bool, step: Seconds, forward: Seconds) -> SuiteRow:
    over = _over(step["loop"], step["ours"])
    low, high = np.quantile(over, (0.25, 0.75))
    notes: dict[str, float | str] = {
        "quartiles of the ratio": f"{low:.3g} to {high:.3g}",
        "forward alone, ratio": statistics.median(_over(forward["loop"], forward["ours"])),
        "threads": float(torch.get_num_threads()),
        "rounds": float(ROUNDS),
    }
    if work.normalises:
        notes["ratio with batch statistics, where the loop is another function"] = _with_batch_statistics(work)
    ours, theirs = (1e3 * statistics.median(step[side]) for side in ("ours", "loop"))
    return SuiteRow(case=name, peer=LOOP, ours=ours, theirs=theirs, unit="ms a step", ratio=statistics.median(over),
                    equal=equal, notes=notes)  # fmt: skip


def _spikingjelly_row(name: str, work: Work, ours: Computed, step: Seconds, forward: Seconds) -> SuiteRow:
    unit = "x plain loop"
    mine = statistics.median(_over(step["ours"], step["loop"]))
    try:
        theirs, found = _spikingjelly(work)
    except SpikeportError as error:
        return SuiteRow(case=name, peer=SPIKINGJELLY, ours=mine, theirs=None, unit=unit, ratio=None, equal=None,
                        reason=str(error))  # fmt: skip
    peer, alone = (statistics.median(_over(theirs[part]["peer"], theirs[part]["loop"])) for part in ("step", "forward"))
    notes: dict[str, float | str] = {
        "forward alone, ratio": alone / statistics.median(_over(forward["ours"], forward["loop"])),
        "its loop, ms a step": 1e3 * statistics.median(theirs["step"]["loop"]),
    }
    return SuiteRow(case=name, peer=SPIKINGJELLY, ours=mine, theirs=peer, unit=unit, ratio=peer / mine,
                    equal=ours.same(found), notes=notes)  # fmt: skip


def _steps(work: Work) -> Seconds:
    def step(folded: bool) -> None:
        train_step(work.net, lambda: _logits(work, folded), work.labels_B)

    return interleaved({"ours": lambda: step(True), "loop": lambda: step(False)}, ROUNDS)


def _forwards(work: Work) -> Seconds:
    with torch.no_grad():
        return interleaved({"ours": lambda: _logits(work, True), "loop": lambda: _logits(work, False)}, ROUNDS)


def _with_batch_statistics(work: Work) -> float:
    fixed = {name: value.clone() for name, value in work.net.state_dict().items()}
    work.net.train()
    step = _steps(work)
    work.net.eval().load_state_dict(fixed)
    return statistics.median(_over(step["loop"], step["ours"]))


def _logits(work: Work, folded: bool) -> Tensor:
    return work.net.tensors(work.inputs_TBN, folded)[work.net.answer]


def _over(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def _spikingjelly(work: Work) -> tuple[dict[str, Seconds], Computed]:
    """Return the seconds of a step and of forward alone, SpikingJelly's and the loop's, and what it computed.

    Raises:
        SpikeportError: the network has no counterpart, the environment cannot be made, or the peer failed.
    """
    described = describe(work.net, work.slope)
    with tempfile.TemporaryDirectory(prefix="spikeport-suite-") as name:
        folder = Path(name)
        request = {"network": described, "rounds": ROUNDS, "threads": torch.get_num_threads()}
        (folder / "request.json").write_text(json.dumps(request), "utf-8")
        arrays: dict[str, Any] = _arrays(work)
        np.savez(folder / "arrays.npz", **arrays)
        PeerEnvironment("counting").run(WORKER, folder)
        seconds = json.loads((folder / "answer.json").read_text("utf-8"))
        with np.load(folder / "answer.npz") as file:
            found = {key: torch.from_numpy(file[key]) for key in file.files}
    core, _ = work.net.segments
    grads = {key[2:]: value for key, value in found.items() if key.startswith("g.")}
    tensors = {core.outputs[0]: found["spikes"], work.net.answer: found["logits"]}
    given = {name: x_TBN.double() for name, x_TBN in work.inputs_TBN.items()}
    return seconds, Computed(given | tensors, grads)


def _arrays(work: Work) -> dict[str, NDArray[Any]]:
    core, _ = work.net.segments
    inputs = {f"x.{i}": work.inputs_TBN[name].numpy() for i, name in enumerate(core.inputs)}
    weights = {f"w.{name}": value.numpy() for name, value in work.net.state_dict().items()}
    return inputs | weights | {"labels": work.labels_B.numpy()}
