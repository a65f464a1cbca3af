"""`study.json`: what every training of a study scored, and which test samples it got right.

Shape suffixes: N test samples.
"""

from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

import spikeport
from spikeport.benchmarks.studies.plan import Study
from spikeport.errors import ArtefactError
from spikeport.files import new_file
from spikeport.provenance import git_hash, machine, processor, versions

FILE = "study.json"
CLEAN = "clean"
PACKAGES = ("torch", "snntorch", "lightning", "numpy")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scored(_Part):
    """One trained network under one condition.

    Attributes:
        where: the input that is noisy, "joint" or "clean".
        snr_db: the ratio there; `None` where clean.
        accuracy: the share of the test samples it got right.
        n: how many these are.
        seconds: the scoring took, also where another condition's was taken since the network cannot tell them apart.
        hits: whether each sample was right, eight to a byte (first sample highest), in base64.
    """

    where: str
    snr_db: float | None
    accuracy: float
    n: int
    seconds: float
    hits: str

    @classmethod
    def of(cls, where: str, snr_db: float | None, hits_N: NDArray[np.bool_], seconds: float) -> Scored:
        """Return the score of these answers."""
        packed = base64.b64encode(np.packbits(hits_N).tobytes()).decode()
        share = float(hits_N.mean())
        return cls(where=where, snr_db=snr_db, accuracy=share, n=len(hits_N), seconds=round(seconds, 3), hits=packed)

    def right(self) -> NDArray[np.bool_]:
        """Return whether each sample was right, [N]."""
        packed = np.frombuffer(base64.b64decode(self.hits), np.uint8)
        return np.unpackbits(packed, count=self.n).astype(bool)

    @property
    def key(self) -> tuple[str, float | None]:
        """The condition."""
        return self.where, self.snr_db


class Outcome(_Part):
    """One training.

    Attributes:
        variant: of the study.
        seed: of the recipe.
        status: `failed` where there is no network to score.
        reason: why it failed.
        recipe_sha256: of the recipe.
        weights_sha256: of the run's weights.
        samples_sha256: of dataset, split seed and test labels in order; networks that differ in it are not paired.
        noise_seed: of the noisy samples, `None` without.
        folded: how it was scored.
        train_seconds: all epochs with their validation, without opening the data.
        epochs: trained.
        val_accuracy: the best, of the epoch whose weights were kept.
        skipped: test samples that could not be read.
        scores: by condition.
    """

    variant: str
    seed: int
    status: Literal["ok", "failed"] = "ok"
    reason: str = ""
    recipe_sha256: str
    weights_sha256: str | None = None
    samples_sha256: str | None = None
    noise_seed: int | None = None
    folded: bool = False
    train_seconds: float | None = None
    epochs: int | None = None
    val_accuracy: float | None = None
    skipped: int | None = None
    scores: tuple[Scored, ...] = ()

    def at(self, where: str, snr_db: float | None) -> Scored | None:
        """Return the score under that condition, if there is one."""
        return next((score for score in self.scores if score.key == (where, snr_db)), None)


class Stored(_Part):
    """All of `study.json`."""

    schema_version: Literal[1] = 1
    study: Study
    written: str
    spikeport: str
    git: str | None
    environment: dict[str, str | int]
    outcomes: tuple[Outcome, ...]


def read_outcomes(folder: Path) -> dict[tuple[str, int], Outcome]:
    """Return what is known in the study's folder, by variant and seed; nothing without a file.

    Raises:
        ArtefactError: the file is not one that this version wrote.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        stored = Stored.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        reason = f"it is no study's file of this version ({str(error).splitlines()[0]})"
        raise ArtefactError(str(path), reason, "Remove it: the runs beside it are scored again") from None
    return {(outcome.variant, outcome.seed): outcome for outcome in stored.outcomes}


def write_outcomes(folder: Path, study: Study, outcomes: dict[tuple[str, int], Outcome]) -> None:
    """Write `study.json` whole: aside first, then renamed."""
    stored = Stored(
        study=study,
        written=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        spikeport=spikeport.__version__,
        git=git_hash(),
        environment={**machine(), **processor(), **versions(PACKAGES)},
        outcomes=tuple(outcomes.values()),
    )
    content: dict[str, Any] = stored.model_dump(mode="json")
    with new_file(folder / FILE) as aside:
        aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
