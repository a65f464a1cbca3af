"""When each node runs on a chip where every hop takes one step.

A hop's signal leaves its source at step s and arrives at step s + 1. Node n is L_n steps late; the hop with
lag d (registers and delays) has to deliver `y_source[t - d]` at step t + L_target, so it needs

    wait = L_target - 1 - L_source + d >= 0

extra steps. The smallest L that satisfies all hops is a longest path; a loop with fewer registers than hops
has none. An input's L is 0: its data can simply be given later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spikeport.deploy.hops import Arriving, RefusedError, Source

MAX_WAIT = 62


@dataclass(frozen=True)
class Schedule:
    """Steps of every node and hop.

    Attributes:
        latency: L_n by node, inputs 0.
        wait: by (source, lag, target): extra steps that the hop has to wait.
        gap: silent steps needed between two samples run one after the other, so that no late spike of one
            reaches the next.
    """

    latency: Mapping[str, int]
    wait: Mapping[tuple[str, int, str], int]
    gap: int


def schedule(arriving: Mapping[str, Arriving], inputs: tuple[str, ...]) -> Schedule:
    """Return the least latencies for the hops in `arriving`.

    Raises:
        RefusedError: a loop takes more hops than it has registers, or a wait exceeds `MAX_WAIT` steps.
    """
    hops = [(source, target) for target, map_ in arriving.items() for source in map_.weights]
    latency = dict.fromkeys(inputs, 0) | dict.fromkeys(arriving, 1)
    for _ in range(len(latency) + 1):
        late = [hop for hop in hops if latency[hop[1]] < latency[hop[0][0]] + 1 - hop[0][1]]
        for (source, lag), target in late:
            latency[target] = max(latency[target], latency[source] + 1 - lag)
        if not late:
            return _waits(hops, latency, inputs)
    raise RefusedError(
        late[0][1],
        "",
        "a loop through it has fewer registers than hops, and every hop takes one step on the chip",
        "Give each edge between two neurons of the loop a register (in training: feed back the spikes of the step "
        "before)",
    )


def _waits(hops: list[tuple[Source, str]], latency: dict[str, int], inputs: tuple[str, ...]) -> Schedule:
    wait = {(s, lag, target): latency[target] - 1 - latency[s] + lag for (s, lag), target in hops}
    for (source, _, target), steps in wait.items():
        if steps > MAX_WAIT and source not in inputs:
            raise RefusedError(
                target,
                f"{steps} steps",
                f"what comes from '{source}' has to wait, and a chip delays by at most {MAX_WAIT}",
                "Shorten the delay, or the deeper branch",
            )
    gap = max((lag - latency[s] for s, lag, _ in wait if s not in inputs), default=0)
    return Schedule(latency, wait, max(gap, 0))
