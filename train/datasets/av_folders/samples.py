"""Listing clips of two folders, one of pictures and one of sounds, and pairing them by name.

What is wrong with a clip is noted when it is listed, so that it can be refused at once, or skipped and counted in
the part to which it belongs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.errors import ArtefactError
from spikeport.train.datasets.reading import of_all

SOUNDS = (".wav",)
UNKNOWN = -1
Listing = dict[tuple[str, str], tuple[Path, ...]]


@dataclass(frozen=True)
class Sample:
    """One clip, not read yet.

    Attributes:
        name: the file name of its sound and its picture, without ending.
        folder: the name of its class's folder.
        label: its class, -1 where the folder is none of the classes.
        pictures: its frames, in order.
        sounds: its sound, one file.
        group: what must not stand on two sides of a split: a speaker, a recording.
        fault: what is wrong with it, "" for nothing.
    """

    name: str
    folder: str
    label: int
    pictures: tuple[Path, ...] = ()
    sounds: tuple[Path, ...] = ()
    group: str = ""
    fault: str = ""

    @property
    def where(self) -> str:
        """Return the file to name in a message."""
        files = self.sounds or self.pictures
        return str(files[0]) if files else self.name

    def blamed(self, fault: str) -> Sample:
        """Return it with a fault, unless it has one already."""
        return self if self.fault else replace(self, fault=fault)


def files_by_clip(root: Path, suffixes: Sequence[str], fix: str, clip_folders: bool = False) -> Listing:
    """Return files under `root/<class>/`, by (class, clip); hidden ones are not looked at.

    Args:
        root: the folder of the classes.
        suffixes: endings of the files that count, in lower case.
        fix: what to do where `root` is not there.
        clip_folders: a folder inside a class's folder is one clip, and holds its frames.

    Raises:
        ArtefactError: `root` is not there, or two files are the same clip.
    """
    if not root.is_dir():
        raise ArtefactError(str(root), "there is no such folder", fix)
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).parts
        if len(inside) < 2 or path.suffix.lower() not in suffixes or any(part.startswith(".") for part in inside):
            continue
        framed = clip_folders and len(inside) > 2
        clip = (inside[0], path.parent.name if framed else path.stem)
        if clip in found and not (framed and found[clip][0].parent == path.parent):
            raise ArtefactError(str(path), f"it is the same clip as {found[clip][0]}", "Remove one of them")
        found.setdefault(clip, []).append(path)
    return {clip: tuple(paths) for clip, paths in found.items()}


def listed(pictures: Listing, sounds: Listing, classes: Sequence[str]) -> list[Sample]:
    """Return the clips of both listings in the order of their classes and names, with the faults to be seen so far."""
    labels = {name: label for label, name in enumerate(classes)}
    found = []
    for folder, name in sorted(set(pictures) | set(sounds)):
        clip = (folder, name)
        sample = Sample(name, folder, labels.get(folder, UNKNOWN), pictures.get(clip, ()), sounds.get(clip, ()))
        if sample.label == UNKNOWN:
            sample = sample.blamed(f"its class '{folder}' is none of {', '.join(classes)}")
        if not sample.pictures:
            sample = sample.blamed("it has no partner: there is no picture of its name")
        if not sample.sounds:
            sample = sample.blamed("it has no partner: there is no sound of its name")
        found.append(sample)
    return found


def refuse_faults(samples: Sequence[Sample]) -> None:
    """Refuse clips with a fault.

    Raises:
        ArtefactError: the first of them, which others there are, and that more may come when the files are read.
    """
    fix = "Repair the folder, or skip them with --skip-bad"
    bad = [ArtefactError(sample.where, sample.fault, fix) for sample in samples if sample.fault]
    if bad:
        error = of_all(bad, len(samples))
        raise ArtefactError(error.subject, f"{error.reason}; what the files hold was not read yet", fix)


def labels_of(samples: Sequence[Sample]) -> NDArray[np.int64]:
    """Return the classes of samples."""
    return np.array([sample.label for sample in samples], np.int64)
