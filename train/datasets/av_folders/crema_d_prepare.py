"""CREMA-D as distributed, brought into the layout that `crema-d` reads.

`python -m spikeport.train.datasets.av_folders.crema_d_prepare CREMA-D OUT [--frames 4] [--test-list test.csv]` takes a
frame of each video, drawn by `--seed`, or `--frames` of them spread evenly, and copies the sounds. OUT is
`{train,test}/{visual,audio}/<emotion>/<clip>`; clips that the list does not name, or all without a list, train.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from spikeport.errors import ArtefactError, SpikeportError, UsageError
from spikeport.files import new_folder
from spikeport.train.datasets.av_folders.clips import Rates, read_sound
from spikeport.train.datasets.av_folders.crema_d import EMOTIONS, NAME, RATE_HZ, SOURCE, listed_names
from spikeport.train.datasets.av_folders.video import decoded_frames
from spikeport.train.datasets.reading import fault
from spikeport.train.seeds import rng

_VIDEOS = (".flv", ".mp4", ".avi")
_JPEG_QUALITY = 95
_FIX = "Get it again, or skip it with --skip-bad"
Decode = Callable[[Path], Sequence[Image.Image]]


@dataclass(frozen=True)
class Prepared:
    """How many clips were written to each part, and which were skipped, and why."""

    train: int
    test: int
    bad: tuple[str, ...]


def prepare(
    source: Path,
    out: Path,
    frames: int = 1,
    test: frozenset[str] = frozenset(),
    seed: int = 0,
    skip_bad: bool = False,
    decode: Decode = decoded_frames,
) -> Prepared:
    """Write the layout to the new folder `out`; return how many clips were written, and what was skipped.

    Args:
        source: the folder that holds `VideoFlash` and `AudioWAV`.
        out: the folder to write, which appears when it is whole.
        frames: frames of each clip.
        test: names of the clips of the test part.
        seed: decides which frame, where it is one.
        skip_bad: leave bad clips out and name them.
        decode: returns all frames of a video.

    Raises:
        ArtefactError: folders are missing, or a clip is bad and not to be skipped.
        UnavailableError: videos cannot be decoded here.
        UsageError: `out` exists, or `frames` is not positive.
    """
    if frames < 1:
        raise UsageError(f"--frames {frames}", "a clip needs at least one", "Raise it")
    videos, sounds = _files(source / "VideoFlash", _VIDEOS), _files(source / "AudioWAV", (".wav",))
    written: dict[str, int] = {"train": 0, "test": 0}
    bad: list[str] = []
    with new_folder(out) as aside:
        for name in sorted(set(videos) | set(sounds) | test):
            part = "test" if name in test else "train"
            try:
                _one(name, videos.get(name), sounds.get(name), aside / part, frames, seed, decode)
                written[part] += 1
            except ArtefactError as error:
                if not skip_bad:
                    raise
                bad.append(fault(error))
        if not written["train"]:
            raise ArtefactError(str(source), "no clip is left to train on", "Repair the files")
    return Prepared(written["train"], written["test"], tuple(bad))


def _one(
    name: str, video: Path | None, sound: Path | None, place: Path, frames: int, seed: int, decode: Decode
) -> None:
    """Write one clip, wholly or not at all."""
    match = NAME.fullmatch(name)
    if match is None or match[3] not in EMOTIONS:
        reason = f"its name is not <actor>_<sentence>_<emotion>_<intensity> with an emotion of {', '.join(EMOTIONS)}"
        raise ArtefactError(str(video or sound or name), reason, _FIX)
    if video is None or sound is None:
        lacking = "video" if video is None else "sound"
        raise ArtefactError(str(video or sound or name), f"it has no partner: there is no {lacking} of its name", _FIX)
    read_sound(sound, RATE_HZ, Rates(RATE_HZ, RATE_HZ, "it is that of AudioWAV as distributed"))
    decoded = decode(video)
    if len(decoded) < frames:
        raise ArtefactError(str(video), f"it has {len(decoded)} frames, and {frames} are wanted", _FIX)
    rows = np.linspace(0, len(decoded) - 1, frames).round().astype(int)
    if frames == 1:
        rows = rng(seed, "frame", name).integers(len(decoded), size=1)
    folder = place / "visual" / match[3]
    targets = [folder / f"{name}.jpg"] if frames == 1 else [folder / name / f"{k:03d}.jpg" for k in range(frames)]
    for row, target in zip(rows, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        decoded[row].convert("RGB").save(target, quality=_JPEG_QUALITY)
    copy = place / "audio" / match[3] / f"{name}.wav"
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sound, copy)


def _files(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    if not folder.is_dir():
        fix = f"Name the folder that holds VideoFlash and AudioWAV ({SOURCE})"
        raise ArtefactError(str(folder), "there is no such folder", fix)
    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; print the counts as JSON."""
    parser = argparse.ArgumentParser(prog="python -m spikeport.train.datasets.av_folders.crema_d_prepare")
    parser.description = __doc__
    parser.add_argument("source", type=Path, help="the folder that holds VideoFlash and AudioWAV")
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--frames", type=int, default=1, help="frames of each clip")
    parser.add_argument("--test-list", type=Path, help="CSV file whose first column names the test clips")
    parser.add_argument("--seed", type=int, default=0, help="decides which frame, where it is one")
    parser.add_argument("--skip-bad", action="store_true", help="skip bad clips and name them")
    args = parser.parse_args(arguments)
    try:
        test = frozenset(listed_names(args.test_list)) if args.test_list else frozenset()
        done = prepare(args.source, args.out, args.frames, test, args.seed, args.skip_bad)
    except SpikeportError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for text in done.bad:
        sys.stderr.write(f"skipped: {text}\n")
    sys.stdout.write(json.dumps({"train": done.train, "test": done.test, "skipped": len(done.bad)}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
