"""Running an integer network: inputs packed, samples shared out to threads, records as views of what the kernels wrote.

Shapes: T steps of the input, B samples, `*` a population's own shape.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi.engine.delivery import Scratch
from spikeport.deploy.loihi.engine.kernels import Kept, Sent, States, run_samples
from spikeport.deploy.loihi.engine.layout import Layout, lay_out
from spikeport.deploy.loihi.engine.membrane import LANES
from spikeport.deploy.loihi.engine.memory import zeroed
from spikeport.deploy.loihi.engine.network import IntegerNetwork, Population
from spikeport.deploy.loihi.engine.packed import PackedInputs, pack

Array = NDArray[np.generic]

MOST_BYTES = 2**30
"""What may be held at once beyond the records that were asked for."""


@dataclass(frozen=True)
class Records:
    """What a run left behind.

    Attributes:
        spikes: [steps, B, *shape] of 0 and 1, by population.
        u: synaptic state after each step, where it was asked for.
        v: membrane after each step and its reset, where it was asked for; before a subtraction it was v + reset_by s.
        wraps: how often u left its 24 bits, by population.
        saturations: how often v was held at its limits, by population.
    """

    spikes: Mapping[str, Array]
    u: Mapping[str, Array]
    v: Mapping[str, Array]
    wraps: Mapping[str, int]
    saturations: Mapping[str, int]


class Engine:
    """A compiled `IntegerNetwork`; `run` may be called any number of times, also from several threads."""

    def __init__(self, network: IntegerNetwork, threads: int | None = None) -> None:
        """Compile `network`; `threads` by default is the number of processors."""
        self.network = network
        self.layout: Layout = lay_out(network)
        self.threads = threads or len(os.sched_getaffinity(0))
        self._populations = {p.name: p for p in network.populations}
        self._rooms: list[tuple[States, Scratch]] = []

    def run(
        self,
        inputs_TBN: Mapping[str, Array],
        steps: int | None = None,
        spikes: Iterable[str] | None = None,
        u: Iterable[str] = (),
        v: Iterable[str] = (),
    ) -> Records:
        """Run every sample from the zero state.

        Args:
            inputs_TBN: whole numbers [T, B, *shape] for every input; 0 after their last step.
            steps: how many to run, T by default.
            spikes: the populations whose spikes are kept, by default all.
            u: the populations whose synaptic state is kept.
            v: the populations whose membrane is kept.

        Raises:
            UsageError: an input is missing, is no whole number, or has another shape.
        """
        x = pack(self.layout, inputs_TBN)
        steps = x.timesteps if steps is None else steps
        kept = _Records(self.layout, self._populations, (x.samples, steps), tuple(u), tuple(v))
        if spikes is None:
            s = zeroed((x.samples, steps, self.layout.neurons), np.uint8)
            self._run_block(x, 0, s, kept)
            return kept.records({n: (s, place.start) for n, place in self.layout.places.items()})
        few = {n: zeroed((x.samples, steps, self.layout.places[n].width), np.uint8) for n in spikes}
        block = max(self.threads, MOST_BYTES // max(1, steps * self.layout.neurons))
        for first in range(0, x.samples, block):
            last = min(x.samples, first + block)
            s = zeroed((last - first, steps, self.layout.neurons), np.uint8)
            self._run_block(x, first, s, kept)
            for name, rows in few.items():
                place = self.layout.places[name]
                rows[first:last] = s[..., place.start : place.start + place.width]
        return kept.records({n: (rows, 0) for n, rows in few.items()})

    def _run_block(self, x: PackedInputs, offset: int, s: Array, kept: _Records) -> None:
        """Run as many samples as `s` has rows, from sample `offset` on."""
        samples = len(s)
        share = max(1, min(8, -(-samples // self.threads)))
        ranges = [(first, min(samples, first + share)) for first in range(0, samples, share)]
        rows, none = x.rows.reshape(-1), np.zeros(1, np.int32)
        x8, x32 = (none.view(np.uint8), rows) if x.graded else (rows, none)
        timesteps, total, row = x.rows.shape
        sent = Sent(x8, x32, x.graded, timesteps, total, row, offset, s.reshape(-1), s.shape[1])

        def work(span: tuple[int, int]) -> tuple[bool, Kept]:
            states, room = self._rooms.pop() if self._rooms else self._new_room()
            part = kept.part(offset, offset + samples)
            binary = run_samples(self.layout.tables, *span, sent, part, states, room)
            self._rooms.append((states, room))
            return binary, part

        if len(ranges) == 1 or self.threads == 1:
            results = [work(span) for span in ranges]
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                results = list(pool.map(work, ranges))
        if not all(binary for binary, _ in results):
            s[:] = 0
            self._run_block(x.as_graded(), offset, s, kept)
            return
        for _, part in results:
            kept.wraps += part.wraps
            kept.clips += part.clips

    def _new_room(self) -> tuple[States, Scratch]:
        widest = max(place.width for place in self.layout.places.values())
        longest = max(widest, self.layout.input_width)
        states = States(*(np.empty(self.layout.neurons, np.int32) for _ in range(3)))
        sums = (np.empty(widest, np.int16), np.empty(widest, np.int32), np.empty(widest, np.int32))
        counts = np.zeros(2 * LANES * len(self.layout.places), np.int32)
        return states, Scratch(np.empty(longest, np.int32), np.empty(longest, np.int32), *sums, counts)


class _Records:
    """Records on their way: where u and v of a run are kept, and what is counted."""

    def __init__(
        self,
        layout: Layout,
        populations: Mapping[str, Population],
        leading: tuple[int, int],
        u: Sequence[str],
        v: Sequence[str],
    ) -> None:
        self.layout, self.populations = layout, populations
        self.u_slots, self.u = self._kept(u, leading)
        self.v_slots, self.v = self._kept(v, leading)
        self.wraps, self.clips = (np.zeros(len(populations), np.int64) for _ in range(2))

    def _kept(self, wanted: Sequence[str], leading: tuple[int, int]) -> tuple[dict[str, int], NDArray[np.int32]]:
        slots, columns = {}, 0
        for name in wanted:
            slots[name] = columns
            columns += self.layout.places[name].width
        return slots, zeroed((*leading, columns), np.int32)

    def part(self, first: int, last: int) -> Kept:
        """Return what the kernels write for some samples."""
        u_slots, v_slots = (
            np.array([slots.get(n, -1) for n in self.populations], dtype=np.int64)
            for slots in (self.u_slots, self.v_slots)
        )
        wraps, clips = (np.zeros(len(self.populations), np.int64) for _ in range(2))
        return Kept(u_slots, v_slots, self.u[first:last], self.v[first:last], wraps, clips)

    def records(self, spikes: Mapping[str, tuple[Array, int]]) -> Records:
        """Return the records; `spikes` are rows, and where in them each population starts."""

        def read(name: str, rows: Array, first: int) -> Array:
            return self.layout.places[name].read(rows, first, self.populations[name])

        return Records(
            {name: read(name, rows, first) for name, (rows, first) in spikes.items()},
            {name: read(name, self.u, first) for name, first in self.u_slots.items()},
            {name: read(name, self.v, first) for name, first in self.v_slots.items()},
            dict(zip(self.populations, self.wraps.tolist(), strict=True)),
            dict(zip(self.populations, self.clips.tolist(), strict=True)),
        )
