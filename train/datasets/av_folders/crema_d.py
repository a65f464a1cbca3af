"""`crema-d`: actors who say a sentence in one of six emotions, a face and a voice (Cao et al. 2014).

Layout, S-CMRL's: `{train,test}/{visual,audio}/<emotion>/<clip>.{jpg,wav}`, where a clip `1001_DFA_ANG_XX` is named by
actor, sentence, emotion and intensity, and several frames of it are `visual/<emotion>/<clip>/<k>.jpg`. The clips as
distributed (`VideoFlash`, `AudioWAV`) are brought into it by `av_folders.crema_d_prepare`.

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
from spikeport.train.datasets.av_folders.dividing import carved, carved_groups
from spikeport.train.datasets.av_folders.media import MediaFolder, MediaParams, Seeds, refuse_noise, shapes
from spikeport.train.datasets.av_folders.pictures import SUFFIXES
from spikeport.train.datasets.av_folders.samples import SOUNDS, Sample, files_by_clip, labels_of, listed
from spikeport.train.datasets.av_folders.spectra import RateHz
from spikeport.train.datasets.base import DatasetKind, Part
from spikeport.train.datasets.reading import option
from spikeport.train.datasets.splitting import Rows
from spikeport.train.seeds import rng

EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
TEST_ACTORS = 0.2
RATE_HZ = 16_000
SOURCE = "https://github.com/CheyneyComputerScience/CREMA-D, Open Database License"
NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})")
_FOLDERS = ("train", "test")
Places = dict[str, tuple[Sample, str]]


class CremaDData(MediaParams):
    """Parameters of `crema-d`; see `MediaParams` for the rest.

    Attributes:
        split: `official` takes the test folder, or `test_list`, as test part: its actors are in the training part too.
            `speakers` draws a fifth of the actors for test, and `val_share` of the others for validation.
        test_list: with `official`, a CSV file whose first column names the test clips, wherever they lie; all others
            train. A first line that names no clip is its heading.
        clip_hz: the sample rate of all sounds, CREMA-D's own unless told; a clip of another is bad.
    """

    split: Literal["official", "speakers"] = "official"
    test_list: Path | None = None
    clip_hz: RateHz = RATE_HZ
    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1


def opened(params: CremaDData, noise: Mapping[str, float], split_seed: int, seed: int) -> MediaFolder:
    """List the clips and divide them.

    Raises:
        ArtefactError: folders are missing, or clips are bad and not to be skipped.
        UsageError: the parameters do not go together.
    """
    refuse_noise("crema-d", noise)
    places = _clips(params)
    if params.split == "official" and params.test_list is not None:
        places = _by_list(places, listed_names(params.test_list))
    samples = [sample for sample, _ in places.values()]
    if params.split == "speakers":
        rows = _by_speakers(samples, params, split_seed)
    else:
        rows = _official(samples, [part == "test" for _, part in places.values()], params, split_seed)
    fix = "Get it again, say the rate of all clips with the parameter clip_hz, or skip it with --skip-bad"
    rates = Rates(params.clip_hz, params.clip_hz, "it is the rate of all clips", fix)
    return MediaFolder(params, samples, rows, Seeds(split_seed, seed), stills=False, rates=rates)


def _clips(params: CremaDData) -> Places:
    """Return all clips by name, with the folder, train or test, in which each lies."""
    root = params.folder
    fix = (
        f"Name the folder that holds train and test with {option('folder')} ({SOURCE}); "
        "where there is no test, give test_list, or split=speakers"
    )
    if not root.is_dir():
        raise ArtefactError(str(root), "there is no such folder", fix)
    if (root / "AudioWAV").is_dir():
        command = "python -m spikeport.train.datasets.av_folders.crema_d_prepare"
        raise ArtefactError(str(root), "it holds the clips as distributed, videos and all", f"Run {command} first")
    needed: Sequence[str] = _FOLDERS
    if params.split == "speakers" or params.test_list is not None:
        needed = [name for name in _FOLDERS if (root / name).is_dir()] or _FOLDERS
    places: Places = {}
    for part in needed:
        pictures = files_by_clip(root / part / "visual", SUFFIXES, fix, clip_folders=True)
        for sample in listed(pictures, files_by_clip(root / part / "audio", SOUNDS, fix), EMOTIONS):
            if sample.name in places:
                reason = f"the clip is also {places[sample.name][0].where}"
                raise ArtefactError(sample.where, reason, "A clip stands on one side, in one class: remove one of them")
            places[sample.name] = (named(sample), part)
    return places


def _by_list(places: Places, test: set[str]) -> Places:
    """Return the clips in the parts that a list of test clips says; a clip that it names and that has no files too."""
    absent = {name: (_absent(name), "test") for name in sorted(test - set(places))}
    return {name: (sample, "test" if name in test else "train") for name, (sample, _) in places.items()} | absent


def named(sample: Sample) -> Sample:
    """Return the clip with its actor as its group, or with the fault of its name."""
    match = NAME.fullmatch(sample.name)
    if match is None:
        return replace(sample, group=sample.name).blamed("its name is not <actor>_<sentence>_<emotion>_<intensity>")
    sample = replace(sample, group=match[1])
    if match[3] != sample.folder:
        return sample.blamed(f"its name says {match[3]}, and it lies in {sample.folder}")
    return sample


def listed_names(path: Path) -> set[str]:
    """Return the clips that the first column of a CSV file names, with or without folder and ending.

    Raises:
        ArtefactError: it cannot be read, or a line but the first names no clip.
    """
    fix = "Give a CSV file whose first column holds names like 1001_DFA_ANG_XX"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names = [Path(row[0].strip()).stem for row in csv.reader(file) if row and row[0].strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArtefactError(str(path), f"it cannot be read ({error})", fix) from None
    bad = [at for at, name in enumerate(names) if NAME.fullmatch(name) is None]
    if not names or bad not in ([], [0]) or len(bad) == len(names):
        reason = f"line {bad[-1] + 1} names no clip: '{names[bad[-1]]}'" if bad else "it names no clip"
        raise ArtefactError(str(path), reason, fix)
    return set(names[len(bad) :])


def _absent(name: str) -> Sample:
    emotion = name.split("_")[2]
    label = EMOTIONS.index(emotion) if emotion in EMOTIONS else -1
    return Sample(name, emotion, label, fault="the test list names it, and it has no files")


def _official(samples: Sequence[Sample], in_test: Sequence[bool], params: CremaDData, seed: int) -> dict[Part, Rows]:
    test_N = np.array(in_test, bool)
    train, val = carved(np.flatnonzero(~test_N), labels_of(samples), params.val_share, rng(seed, "split", "crema-d"))
    return {"train": train, "val": val, "test": np.flatnonzero(test_N)}


def _by_speakers(samples: Sequence[Sample], params: CremaDData, seed: int) -> dict[Part, Rows]:
    actors_N = np.array([sample.group for sample in samples])
    draw = rng(seed, "split", "crema-d", "speakers")
    rest, test = carved_groups(np.arange(len(samples)), actors_N, TEST_ACTORS, draw, "actors")
    train, val = carved_groups(rest, actors_N, params.val_share, draw, "actors outside of the test part")
    return {"train": train, "val": val, "test": test}


KIND = DatasetKind(
    params=CremaDData,
    note="CREMA-D; the official test part shares all its actors with the training part, split=speakers shares none",
    classes=len(EMOTIONS),
    shapes=shapes,
    open=opened,
    about="faces and voices of actors, six emotions; reads "
    "folder/{train,test}/{visual,audio}/<emotion>/<clip>.{jpg,wav}",
)
