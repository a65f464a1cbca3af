"""`urbansound8k-av`: city sounds of ten classes (Salamon et al. 2014), each with a picture of its class.

Layout: `Dataset_v3_vision/<class>/<id>.jpg` and `Dataset_v3_sound/<class>/<id>.wav`, where an id is UrbanSound8K's own,
`<recording>-<class>-<occurrence>-<slice>`. Deeper folders, such as `<class>/fold3/<id>.wav`, may stand between.

Shape suffixes: N samples.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from spikeport.errors import ArtefactError
from spikeport.train.datasets.av_folders.clips import Rates
from spikeport.train.datasets.av_folders.dividing import carved_groups, first_share
from spikeport.train.datasets.av_folders.media import MediaFolder, MediaParams, Seeds, refuse_noise, shapes
from spikeport.train.datasets.av_folders.pictures import SUFFIXES
from spikeport.train.datasets.av_folders.samples import SOUNDS, Sample, files_by_clip, labels_of, listed
from spikeport.train.datasets.base import DatasetKind, Part
from spikeport.train.datasets.reading import option
from spikeport.train.datasets.splitting import Rows
from spikeport.train.seeds import rng

CLASSES = (
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
)
TRAIN_SHARE = 0.7
# The clips kept the rates at which they were uploaded.
RATES = Rates(8000, 192_000, "UrbanSound8K's clips have such")
FOLDS = 10
SOURCE = (
    "https://www.kaggle.com/datasets/lingyueguo/urbansound8k-av; "
    "UrbanSound8K's sounds are CC BY-NC 3.0, the pictures' licence is not stated"
)
_NAME = re.compile(r"(\d+)-(\d+)-\d+-\d+")
_FOLD = re.compile(r"fold_?(\d+)", re.IGNORECASE)


class UrbanSound8KData(MediaParams):
    """Parameters of `urbansound8k-av`; see `MediaParams` for the rest.

    Attributes:
        split: `published` trains on the first 70 % of each class in sorted order of the ids and tests on the others;
            slices of one Freesound recording may then stand on both sides, which inflates the score. `folds` keeps
            UrbanSound8K's ten folds whole, as its authors ask.
        fold: with `folds`, the test part; the next fold (1 after 10) is the validation part, the others train.
        metadata: with `folds`, `UrbanSound8K.csv`, which says each id's fold. Without it, the file is looked for in
            `folder` and `folder/metadata`, and failing that a folder above the sound must be named `fold<k>`.
    """

    split: Literal["published", "folds"] = "published"
    fold: Annotated[int, Field(ge=1, le=FOLDS)] = 1
    metadata: Path | None = None


def opened(params: UrbanSound8KData, noise: Mapping[str, float], split_seed: int, seed: int) -> MediaFolder:
    """List the clips and divide them.

    Raises:
        ArtefactError: folders are missing, clips are bad and not to be skipped, or a fold is not to be known.
        UsageError: the parameters do not go together.
    """
    refuse_noise("urbansound8k-av", noise)
    fix = f"Name the folder that holds Dataset_v3_vision and Dataset_v3_sound with {option('folder')} ({SOURCE})"
    pictures = files_by_clip(params.folder / "Dataset_v3_vision", SUFFIXES, fix)
    sounds = files_by_clip(params.folder / "Dataset_v3_sound", SOUNDS, fix)
    samples = [named(sample) for sample in listed(pictures, sounds, CLASSES)]
    if params.split == "folds":
        samples, folds = _with_folds(samples, params)
        rows = _by_folds(folds, params.fold)
    else:
        rows = _published(samples, params, split_seed)
    return MediaFolder(params, samples, rows, Seeds(split_seed, seed), stills=True, rates=RATES)


def named(sample: Sample) -> Sample:
    """Return the clip with its Freesound recording as its group, or with the fault of its name."""
    match = _NAME.fullmatch(sample.name)
    if match is None:
        reason = "its name is not <recording>-<class>-<occurrence>-<slice>"
        return replace(sample, group=sample.name).blamed(reason)
    sample = replace(sample, group=match[1])
    if int(match[2]) != sample.label:
        return sample.blamed(f"its name says class {match[2]}, and it lies in {sample.folder}")
    return sample


def _published(samples: Sequence[Sample], params: UrbanSound8KData, seed: int) -> dict[Part, Rows]:
    labels_N = labels_of(samples)
    rest, test = first_share(np.arange(len(samples)), labels_N, TRAIN_SHARE)
    recordings_N = np.array([sample.group for sample in samples])
    draw = rng(seed, "split", "urbansound8k-av")
    train, val = carved_groups(rest, recordings_N, params.val_share, draw, "recordings of the training part")
    return {"train": train, "val": val, "test": test}


def _with_folds(samples: Sequence[Sample], params: UrbanSound8KData) -> tuple[list[Sample], list[int]]:
    """Return the clips and their folds; a clip without a fold has a fault, and falls to the test part."""
    told = _metadata(params)
    unknown = "no folder above it is named fold<k>, and there is no UrbanSound8K.csv"
    if told is not None:
        unknown = "the metadata say no fold for it"
    judged, folds = [], []
    for sample in samples:
        fold = _fold_of_path(sample) if told is None else told.get(sample.name)
        judged.append(sample.blamed(unknown) if fold is None else sample)
        folds.append(params.fold if fold is None else fold)
    return judged, folds


def _by_folds(folds: Sequence[int], test: int) -> dict[Part, Rows]:
    folds_N = np.array(folds, np.int64)
    val = test % FOLDS + 1
    return {
        "train": np.flatnonzero((folds_N != test) & (folds_N != val)),
        "val": np.flatnonzero(folds_N == val),
        "test": np.flatnonzero(folds_N == test),
    }


def _fold_of_path(sample: Sample) -> int | None:
    for path in sample.sounds:
        for part in path.parts[:-1][::-1]:
            match = _FOLD.fullmatch(part)
            if match and 1 <= int(match[1]) <= FOLDS:
                return int(match[1])
    return None


def _metadata(params: UrbanSound8KData) -> dict[str, int] | None:
    """Return the fold of each id, or None where there is no such file.

    Raises:
        ArtefactError: the file cannot be read, or lacks its columns, or says a fold that is not 1..10.
    """
    usual = [params.folder / "UrbanSound8K.csv", params.folder / "metadata" / "UrbanSound8K.csv"]
    path = params.metadata or next((place for place in usual if place.is_file()), None)
    if path is None:
        return None
    fix = "Give UrbanSound8K.csv, with the columns slice_file_name and fold"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = {Path(row["slice_file_name"]).stem: int(row["fold"]) for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise ArtefactError(str(path), f"it cannot be read ({type(error).__name__}: {error})", fix) from None
    wrong = {name: fold for name, fold in rows.items() if not 1 <= fold <= FOLDS}
    if wrong:
        name, fold = next(iter(wrong.items()))
        raise ArtefactError(str(path), f"{name} is in fold {fold}, and folds are 1..{FOLDS}", fix)
    return rows


KIND = DatasetKind(
    params=UrbanSound8KData,
    note="UrbanSound8K-AV; pictures are class-matched; split=published lets slices of one recording stand on both "
    "sides, split=folds does not",
    classes=len(CLASSES),
    shapes=shapes,
    open=opened,
    about="city sounds with pictures, ten classes; reads folder/Dataset_v3_vision/<class>/<id>.jpg and "
    "folder/Dataset_v3_sound/<class>/<id>.wav",
)
