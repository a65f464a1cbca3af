"""`cifar10-av`: pictures of CIFAR-10's classes, each with a sound of its class (Guo et al. 2024).

Layout: `vision/<class>/<name>.jpg` and `audio/<class>/<name>.wav`, paired by name. The classes are the ten folders, in
sorted order; clips of a further folder of pictures, which has no sounds, are bad ones. Which split the published
figures used is not known; here the first 70 % of each class, in sorted order of the names, train and validate, and the
others test.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spikeport.errors import ArtefactError
from spikeport.train.datasets.av_folders.clips import Rates
from spikeport.train.datasets.av_folders.dividing import carved, first_share
from spikeport.train.datasets.av_folders.media import Count, MediaFolder, MediaParams, Seeds, refuse_noise, shapes
from spikeport.train.datasets.av_folders.pictures import SUFFIXES
from spikeport.train.datasets.av_folders.samples import SOUNDS, Listing, files_by_clip, labels_of, listed
from spikeport.train.datasets.av_folders.spectra import FrontEnd, Mel
from spikeport.train.datasets.base import DatasetKind, Part
from spikeport.train.datasets.reading import option
from spikeport.train.datasets.splitting import Rows
from spikeport.train.seeds import rng

CLASSES = 10
TRAIN_SHARE = 0.7
SOURCE = "https://www.kaggle.com/datasets/lingyueguo/cifar10-av, licence not stated"


class Cifar10AvData(MediaParams):
    """Parameters of `cifar10-av`: those of `MediaParams`, with 64 mel bands and 64 x 64 pixels unless told."""

    size: Count = 64
    audio: FrontEnd = Mel()


def opened(params: Cifar10AvData, noise: Mapping[str, float], split_seed: int, seed: int) -> MediaFolder:
    """List the clips and divide them.

    Raises:
        ArtefactError: folders are missing, there are not ten classes, or clips are bad and not to be skipped.
        UsageError: the parameters do not go together.
    """
    refuse_noise("cifar10-av", noise)
    fix = f"Name the folder that holds vision and audio with {option('folder')} ({SOURCE})"
    pictures = files_by_clip(params.folder / "vision", SUFFIXES, fix)
    sounds = files_by_clip(params.folder / "audio", SOUNDS, fix)
    samples = listed(pictures, sounds, _classes(params.folder, pictures, sounds, fix))
    labels_N = labels_of(samples)
    rest, test = first_share(np.arange(len(samples)), labels_N, TRAIN_SHARE)
    train, val = carved(rest, labels_N, params.val_share, rng(split_seed, "split", "cifar10-av"))
    rows: dict[Part, Rows] = {"train": train, "val": val, "test": test}
    return MediaFolder(params, samples, rows, Seeds(split_seed, seed), stills=True, rates=_rates(params))


def _classes(folder: Path, pictures: Listing, sounds: Listing, fix: str) -> list[str]:
    """Return the folders of pictures; of more than ten, those that have sounds, too: the others' clips are bad.

    Raises:
        ArtefactError: they are not ten: which of them are the classes would be a guess.
    """
    seen, heard = ({name for name, _ in listing} for listing in (pictures, sounds))
    classes = sorted(seen if len(seen) <= CLASSES else seen & heard)
    if len(classes) != CLASSES:
        reason = f"it holds pictures of {len(seen)} classes, and {CLASSES} are expected"
        raise ArtefactError(str(folder / "vision"), f"{reason}: {', '.join(sorted(seen))}" if seen else reason, fix)
    return classes


def _rates(params: Cifar10AvData) -> Rates:
    """Return the rates that fill the front end's frequencies: which the clips have is not published."""
    least_hz = params.audio.rate_hz
    why = f"the front end hears up to {least_hz / 2:g} Hz, half of its own rate"
    return Rates(least_hz, 192_000, why, "Get it again, lower data.params.audio.rate_hz, or skip it with --skip-bad")


KIND = DatasetKind(
    params=Cifar10AvData,
    note="CIFAR10-AV; pictures and sounds are class-matched; split 70/30 in sorted order, as the published split is "
    "not known",
    classes=CLASSES,
    shapes=shapes,
    open=opened,
    about="CIFAR-10's classes in pictures and sounds; reads folder/{vision,audio}/<class>/<name>.{jpg,wav}",
)
