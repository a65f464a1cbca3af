"""Blocks of what a row reaches: the samples it was scored on, its accuracy and its speed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from spikeport.benchmarks.blocks.base import Amount, Block, Fraction


class Dataset(Block):
    """What the row was scored on. `note` is shown wherever a figure stands."""

    name: str
    split: str
    samples: Annotated[int, Field(ge=1)]
    note: str


class Accuracy(Block):
    """A proportion of right answers with Wilson's 95 % interval."""

    value: Fraction
    n: Annotated[int, Field(ge=1)]
    ci95: tuple[Fraction, Fraction]

    @model_validator(mode="after")
    def _ordered(self) -> Accuracy:
        if not self.ci95[0] <= self.value <= self.ci95[1]:
            raise ValueError(f"accuracy {self.value} is outside its interval {list(self.ci95)}")
        return self


class Answers(Block):
    """Which samples were answered right, so that another row on the same samples can be paired with this one.

    Attributes:
        right: one `1` or `0` a sample, in order.
        samples_sha256: of the samples and their labels: equal where and only where both rows saw the same.
    """

    right: Annotated[str, Field(pattern="^[01]+$")]
    samples_sha256: str


class Timing(Block):
    """Wall time of the whole inference on this machine, encoding left out; says nothing about a chip's speed.

    Attributes:
        ms_per_sample: the median over the repeats, all steps together.
        samples_per_s: its inverse.
        batch: samples that one run takes at once.
        repeats: how many runs, null where the file does not know it.
        spread: the fastest and the slowest of them, ms a sample; null of a single run.
    """

    ms_per_sample: Amount
    samples_per_s: Amount
    batch: Annotated[int, Field(ge=1)]
    repeats: Annotated[int, Field(ge=1)] | None
    spread: tuple[Amount, Amount] | None

    @model_validator(mode="after")
    def _ordered(self) -> Timing:
        if self.spread is not None and not self.spread[0] <= self.ms_per_sample <= self.spread[1]:
            raise ValueError(f"{self.ms_per_sample} ms a sample is outside its spread {list(self.spread)}")
        if self.spread is not None and (self.repeats or 1) < 2:
            raise ValueError("a spread needs at least two runs")
        return self


class Difference(Block):
    """Accuracy of row `first` minus that of row `second` on the same samples."""

    first: str
    second: str
    value: Annotated[float, Field(ge=-1, le=1)]
    ci95: tuple[float, float]
    n: Annotated[int, Field(ge=1)]
    method: str
