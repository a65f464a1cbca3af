"""What a dataset is.

Shape suffixes: N samples; raw inputs are [N, *shape], before any encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Part = Literal["train", "val", "test"]


class DataParams(BaseModel):
    """Base of every dataset's own parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Split:
    """Samples before encoding: `inputs[name]` is [N, *shape] float32, `labels` [N] int64.

    `bad` names each sample that was left out because it is unreadable or has no partner, and why.
    """

    inputs: Mapping[str, NDArray[np.float32]]
    labels: NDArray[np.int64]
    bad: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def skipped(self) -> int:
        """How many samples were left out."""
        return len(self.bad)

    def take(self, rows: slice | NDArray[np.int64]) -> Split:
        """Return the samples at `rows`."""
        return Split({name: x[rows] for name, x in self.inputs.items()}, self.labels[rows], self.bad)


class Dataset(Protocol):
    """Labelled samples in three parts that share no recording."""

    def split(self, part: Part, epoch: int = 0) -> Split:
        """Return one part. "train" may differ by epoch, as a pure function of (seed, epoch)."""
        ...


@dataclass(frozen=True)
class DatasetKind:
    """A registered dataset: what is known of it before its files are opened, and how to open it.

    Attributes:
        params: the pydantic class of its own parameters.
        note: what must stand beside every figure measured on it ("" for nothing).
        classes: number of classes; labels are 0..classes-1.
        shapes: `params -> raw shape of each input`, without N; a recipe's `data.noise` and `encodings`
            may name these inputs only.
        open: `(params, noise by input, split_seed, seed) -> Dataset`; `split_seed` fixes the parts and
            the pairs and noise of val and test, `seed` what changes from one training to another.
        events: `params -> the inputs that hold spikes or counts of them`; `spikeport.train.noise` treats them as such.
        about: one line for `spikeport list datasets`: what it is and which files it reads.
    """

    params: type[DataParams]
    note: str
    classes: int
    shapes: Callable[[Any], Mapping[str, tuple[int, ...]]]
    open: Callable[[Any, Mapping[str, float], int, int], Dataset]
    events: Callable[[Any], frozenset[str]] = lambda _: frozenset()
    about: str = ""
