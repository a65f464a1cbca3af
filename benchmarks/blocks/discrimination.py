"""Blocks of how well embeddings tell classes apart; `spikeport.benchmarks.discrimination` defines the measures."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from spikeport.benchmarks.blocks.base import Amount, Block, Count, Fraction

Cosine = Annotated[float, Field(ge=-1, le=1)]


class Discrimination(Block):
    """The measures of one set of embeddings; silent ones are left out of them."""

    samples: Annotated[int, Field(ge=2)]
    silent: Count
    classes: Annotated[int, Field(ge=2)]
    intra_cosine: Cosine
    inter_cosine: Cosine
    intra_angle_degrees: Amount
    inter_angle_degrees: Amount
    nearest_angle_degrees: Amount
    scatter_ratio: Amount
    silhouette_cosine: Cosine
    silhouette_euclidean: Cosine
    norm_mean: Amount
    norm_variation: Amount


class Plane(Block):
    """The first samples on the first two principal components of all.

    Attributes:
        explained: the share of the variance on each.
        points: by sample.
        labels: their classes.
    """

    explained: tuple[Fraction, Fraction]
    points: tuple[tuple[float, float], ...]
    labels: tuple[Count, ...]

    @model_validator(mode="after")
    def _labelled(self) -> Plane:
        if len(self.points) != len(self.labels):
            raise ValueError(f"{len(self.points)} points with {len(self.labels)} labels")
        return self


class Embeddings(Discrimination):
    """One set of embeddings: its measures, and a plane to look at."""

    plane: Plane
