"""The seam between a chip stage and what runs it.

A backend explains what becomes of every node, lowers the stage to a program, and the program runs it. It
starts from a `ChipGraph` alone: no torch model, no dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from spikeport.export.graph import ChipGraph
from spikeport.export.recording import Recording
from spikeport.export.stages import ChipStage

Fate = Literal["native", "rewritten", "host", "refused"]
Inputs = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Verdict:
    """What becomes of one node on one backend.

    Attributes:
        node: the node's name.
        kind: its NIR type.
        fate: `native`; `rewritten` (an equivalent form runs, exactly or within the stated bound);
            `host` (runs beside the chip); `refused`.
        reason: in words; empty only for `native`. A refusal ends with the fix.
    """

    node: str
    kind: str
    fate: Fate
    reason: str = ""


class Program(Protocol):
    """A stage made ready for one backend."""

    def run(self, inputs_TBN: Inputs) -> Recording:
        """Run all samples from the zero state.

        Args:
            inputs_TBN: for each input node [T, B, *shape].

        Returns:
            Every neuron node and output, over T + max latency steps.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what the backend needs (lowered graph, scripts) into the existing `folder`."""
        ...


class Backend(Protocol):
    """One way to run a chip stage.

    Attributes:
        name: what it is registered as.
        calibrates: whether `lower` makes use of calibration samples.
        graded: what an input of other values than 0 and 1 is to it, in words, where that is worth saying. Optional.
    """

    name: str
    calibrates: bool

    def explain(self, graph: ChipGraph) -> Sequence[Verdict]:
        """Return a verdict for every node, without running anything or importing the backend's packages."""
        ...

    def lower(self, graph: ChipGraph, calibration: Inputs | None = None) -> Program:
        """Return the program.

        Args:
            graph: the stage.
            calibration: sample inputs, for backends that choose integer scales by them.

        Raises:
            UnfaithfulError: a node is refused; the message names node, value, reason and fix.
            UnavailableError: the backend's environment cannot be made here, and why.
        """
        ...


def explain_stage(backend: Backend, stage: ChipStage) -> list[Verdict]:
    """Return a backend's verdicts for a stage of a network, which knows the inputs that are given graded values."""
    words = getattr(backend, "graded", "")
    return [
        replace(verdict, fate="rewritten", reason=words)
        if words and verdict.node in (stage.graded or ()) and verdict.fate == "native"
        else verdict
        for verdict in backend.explain(stage.graph)
    ]
