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
from spikeport.deploy.loihi.engine.network import IntegerNetwork
from spikeport.errors import UsageError

Array = NDArray[np.generic]
Counts = NDArray[np.int64]

MOST_BYTES = 2**30
"""What may be held at once beyond the records that were asked for."""


@dataclass(frozen=True)
class Records:
    """What a run left behind.

    Attributes:
        spikes: [steps, B, *shape] of 0 and 1, by population.
        u: synaptic state after each step, where it was asked for.
        v: membrane after each step and its reset, where it was asked for.
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
        x = _Inputs(self.layout, inputs_TBN)
        return self._run(x, steps or x.timesteps, spikes, tuple(u), tuple(v))

    def _run(self, x: _Inputs, steps: int, spikes: Iterable[str] | None, u: Sequence[str], v: Sequence[str]) -> Records:
        names = [p.name for p in self.network.populations]
        keep = names if spikes is None else list(spikes)
        (u_slots, u_width), (v_slots, v_width) = self._slots(u), self._slots(v)
        u_kept = np.zeros((x.samples, steps, u_width), np.int32)
        v_kept = np.zeros((x.samples, steps, v_width), np.int32)
        kept: dict[str, Array] = {}
        wraps, clips = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
        block = x.samples
        if spikes is not None:
            block = max(self.threads, MOST_BYTES // max(1, steps * self.layout.neurons))
            kept = {n: np.zeros((x.samples, steps, self.layout.places[n].width), np.uint8) for n in keep}
        for first in range(0, x.samples, block):
            last = min(x.samples, first + block)
            s = np.zeros((last - first, steps, self.layout.neurons), np.uint8)
            states = (u_slots, v_slots, u_kept[first:last], v_kept[first:last])
            self._run_block(x.block(first, last), steps, s, states, wraps, clips)
            for name in keep:
                place = self.layout.places[name]
                columns = s[..., place.start : place.start + place.width]
                if spikes is None:
                    kept[name] = columns
                else:
                    kept[name][first:last] = columns
        return Records(
            {name: self._view(name, rows) for name, rows in kept.items()},
            {name: self._view(name, u_kept[..., u_slots[names.index(name)] :]) for name in u},
            {name: self._view(name, v_kept[..., v_slots[names.index(name)] :]) for name in v},
            dict(zip(names, wraps.tolist(), strict=True)),
            dict(zip(names, clips.tolist(), strict=True)),
        )

    def _slots(self, wanted: Sequence[str]) -> tuple[NDArray[np.int64], int]:
        """Return where each population's columns start, and how many there are."""
        slots, at = [], 0
        for population in self.network.populations:
            slots.append(at if population.name in wanted else -1)
            at += self.layout.places[population.name].width if population.name in wanted else 0
        return np.array(slots, dtype=np.int64), at

    def _run_block(
        self,
        x: _Block,
        steps: int,
        s: Array,
        states: tuple[Array, Array, Array, Array],
        wraps: Counts,
        clips: Counts,
    ) -> None:
        samples = len(s)
        share = max(1, min(8, -(-samples // self.threads)))
        ranges = [(first, min(samples, first + share)) for first in range(0, samples, share)]
        sent = Sent(x.x8, x.x32, x.graded, s, s.view(np.uint64))

        def work(span: tuple[int, int]) -> tuple[bool, Counts, Counts]:
            kept = Kept(*states, np.zeros_like(wraps), np.zeros_like(clips))
            binary = run_samples(self.layout.tables, *span, sent, kept, self._states(), self._room())
            return binary, kept.wraps, kept.clips

        if len(ranges) == 1 or self.threads == 1:
            results = [work(span) for span in ranges]
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                results = list(pool.map(work, ranges))
        if not all(binary for binary, _, _ in results):
            s[:] = 0
            self._run_block(x.as_graded(), steps, s, states, wraps, clips)
            return
        for _, wrapped, clipped in results:
            wraps += wrapped
            clips += clipped

    def _states(self) -> States:
        return States(*(np.empty(self.layout.neurons, np.int32) for _ in range(3)))

    def _room(self) -> Scratch:
        widest = max(place.width for place in self.layout.places.values())
        longest = max(widest, self.layout.input_width)
        kinds = (np.int32, np.int32, np.int16, np.int32, np.int32)
        return Scratch(*map(np.empty, (longest, longest, widest, widest, widest), kinds))

    def _view(self, name: str, rows: Array) -> Array:
        """Return [steps, B, *shape] of [B, steps, width], without copying."""
        population = next(p for p in self.network.populations if p.name == name)
        place = self.layout.places[name]
        return np.moveaxis(place.read(rows, population), 0, 1)


@dataclass(frozen=True)
class _Block:
    """The packed inputs of some samples: `x8` in words where all are 0 and 1, else `x32`."""

    x8: NDArray[np.uint64]
    x32: NDArray[np.int32]
    graded: bool

    def as_graded(self) -> _Block:
        """Return the same inputs, read as numbers."""
        return _Block(self.x8[:, :, :0], self.x8.view(np.uint8).astype(np.int32), True)


class _Inputs:
    """All inputs side by side, [T, B, row], one byte or one 32-bit number an element."""

    def __init__(self, layout: Layout, inputs_TBN: Mapping[str, Array]) -> None:
        flat = flat_inputs(layout.network, inputs_TBN)
        self.timesteps, self.samples = next(iter(flat.values())).shape[:2]
        self.row = self._packed(layout, flat)

    def _packed(self, layout: Layout, flat: Mapping[str, Array]) -> Array:
        only = next(iter(flat.values()))
        if len(flat) == 1 and only.shape[2] == layout.input_width and only.flags.c_contiguous:
            return only
        kind = np.uint8 if all(x.dtype == np.uint8 for x in flat.values()) else np.int32
        row = np.zeros((self.timesteps, self.samples, layout.input_width), kind)
        for name, x in flat.items():
            row[..., layout.inputs[name] : layout.inputs[name] + x.shape[2]] = x
        return row

    def block(self, first: int, last: int) -> _Block:
        """Return some samples' inputs."""
        row = self.row[:, first:last]
        if row.dtype == np.uint8:
            return _Block(row.view(np.uint64), np.zeros((1, 1, 0), np.int32), False)
        return _Block(np.zeros((1, 1, 0), np.uint64), row.view(np.int32), True)


def flat_inputs(network: IntegerNetwork, inputs_TBN: Mapping[str, Array]) -> dict[str, Array]:
    """Return every input as [T, B, elements], in bytes or, where they do not hold the values, 32-bit integers.

    Raises:
        UsageError: one is missing, is no whole number, or has another shape.
    """
    shapes = network.inputs
    if set(inputs_TBN) != set(shapes):
        raise UsageError(f"inputs {sorted(inputs_TBN)}", f"the network takes {sorted(shapes)}", "Name each once")
    flat = {name: _flat(name, np.asarray(x), shapes[name]) for name, x in inputs_TBN.items()}
    if len(leading := {x.shape[:2] for x in flat.values()}) != 1:
        raise UsageError(f"inputs of [T, B] {sorted(leading)}", "all need the same T and B", "Align them")
    return flat


def _flat(name: str, x: Array, shape: tuple[int, ...]) -> Array:
    """Return [T, B, elements] as bytes or, where they do not hold the values, as 32-bit integers."""
    if x.ndim < 2 or x.shape[2:] != shape:
        raise UsageError(
            f"input '{name}' of shape {x.shape}", f"it is not [T, B, *{shape}]", "Give all steps and samples"
        )
    x = x.reshape(*x.shape[:2], -1)
    if x.dtype == np.bool_:
        return x.view(np.uint8)
    if x.dtype == np.uint8:
        return x
    if x.size and not np.all(np.abs(x.astype(np.float64)) < 2**31):
        raise UsageError(f"input '{name}'", "it holds values beyond 32 bits", "Scale it")
    whole = x.astype(np.int32)
    if not np.array_equal(whole, x):
        raise UsageError(
            f"input '{name}'", "it is not whole numbers, and a chip's spikes carry whole numbers", "Scale and round it"
        )
    return whole.astype(np.uint8) if whole.size and whole.min() >= 0 and whole.max() <= 1 else whole
