"""Suite `counting`: what exact counting costs over plain inference, ours against NeuroBench's and SpikingJelly's.

`ours` and `theirs` are the time with counting over the time without, in one thread: the median over interleaved
pairs, each side in its own process against its own plain runs. The notes hold the 95 % interval of the median from
order statistics, which assumes nothing about the noise. `equal` says whether both counted the same operations on
these binary spikes, where both peers are right.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy.stats import binom

from spikeport.benchmarks.counting.torch_counter import ModelCounts, SpikeCounter
from spikeport.benchmarks.suites.counting_peer.nets import forward, network, ratios, spikes
from spikeport.benchmarks.suites.growth import kept_bytes_per_step
from spikeport.benchmarks.suites.result import SuiteResult, SuiteRow, this_machine
from spikeport.deploy.isolated import Environment
from spikeport.errors import SpikeportError

WORKER = Path(__file__).parent / "counting_peer" / "worker.py"
PEERS = {"neurobench": "NeuroBench 2.3.0", "spikingjelly": "SpikingJelly 2.0.0"}
CASES = ("conv", "mlp")
UNIT = "x plain inference"
PAIRS = 21


class PeerEnvironment(Environment):
    """The peers' own Python; its list stands beside their worker."""

    @property
    def requirements(self) -> str:
        """The pinned list."""
        return WORKER.with_name("requirements.txt").read_text("utf-8")


@dataclass(frozen=True)
class _Ours:
    """What we count, the ratio of each pair, and the bytes that counting keeps for a step more."""

    counts: ModelCounts
    ratios: Sequence[float]
    growth: float


def run() -> SuiteResult:
    """Measure both networks, ours and each peer."""
    rows = [row for case in CASES for row in _rows(case)]
    return SuiteResult(suite="counting", machine=this_machine(), rows=tuple(rows))


def _rows(case: str) -> list[SuiteRow]:
    ours = _ours(case)
    return [_row(case, peer, ours) for peer in PEERS]


def _ours(case: str) -> _Ours:
    net, x = network(case), spikes(case)
    last: list[ModelCounts] = []

    def counted() -> None:
        with SpikeCounter(net) as counter:
            counter.start(len(x))
            forward(net, x)
            last[:] = [counter.counts()]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            pairs = ratios(lambda: forward(net, x), counted, PAIRS)
    finally:
        torch.set_num_threads(threads)
    return _Ours(last[0], [with_ / without for without, with_ in pairs], kept_bytes_per_step(net, x))


def _row(case: str, peer: str, ours: _Ours) -> SuiteRow:
    mine = statistics.median(ours.ratios)
    notes: dict[str, float | str] = {
        "ours 95 %": _interval(ours.ratios),
        "pairs": float(PAIRS),
        "kept by a step more, bytes": ours.growth,
    }
    try:
        theirs, counted = _peer(case, peer)
    except SpikeportError as error:
        return SuiteRow(case=case, peer=PEERS[peer], ours=mine, theirs=None, unit=UNIT, ratio=None, equal=None,
                        reason=str(error), notes=notes)  # fmt: skip
    notes["theirs 95 %"] = _interval(theirs)
    median = statistics.median(theirs)
    same = (round(counted["ac"]), round(counted["mac"])) == (ours.counts.synops_ac, ours.counts.synops_mac)
    if not same:
        notes["operations (AC, MAC)"] = f"ours {ours.counts.synops_ac}, {ours.counts.synops_mac}; theirs {counted}"
    return SuiteRow(case=case, peer=PEERS[peer], ours=mine, theirs=median, unit=UNIT, ratio=median / mine, equal=same,
                    notes=notes)  # fmt: skip


def _peer(case: str, peer: str) -> tuple[list[float], dict[str, float]]:
    """Return the peer's ratios and what it counted.

    Raises:
        SpikeportError: its environment cannot be made, or it failed.
    """
    with tempfile.TemporaryDirectory(prefix="spikeport-suite-") as name:
        folder = Path(name)
        (folder / "request.json").write_text(json.dumps({"case": case, "peer": peer, "pairs": PAIRS}), "utf-8")
        PeerEnvironment("counting").run(WORKER, folder)
        answer = json.loads((folder / "answer.json").read_text("utf-8"))
    return [with_ / without for without, with_ in answer["pairs"]], answer["counted"]


def _interval(values: Sequence[float]) -> str:
    """Return the 95 % interval of the median: the order statistics that a fair coin rarely leaves on one side."""
    ordered = sorted(values)
    low = max(int(binom.ppf(0.025, len(ordered), 0.5)) - 1, 0)
    return f"{ordered[low]:.3f} to {ordered[len(ordered) - 1 - low]:.3f}"
