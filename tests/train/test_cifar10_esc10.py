"""CIFAR-10 pictures with ESC-10 sounds: pairs, folds, the picture of a sound, what is refused or skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cifar_files import SHARED, clips, ogg, tone, write_cifar, write_tar

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.checks import validated
from spikeport.train.datasets import DATASETS
from spikeport.train.datasets.cifar10 import MEAN, STD
from spikeport.train.datasets.cifar10_esc10 import Cifar10Esc10, shapes
from spikeport.train.datasets.esc10 import picture, read_clip, read_clips

PARTS = ("train", "val", "test")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Good files, which no test may change: what was read of them is kept."""
    folder = tmp_path_factory.mktemp("cifar10-esc10")
    write_cifar(folder / "c.npz")
    write_tar(folder / "e.tar", clips())
    return {"file": str(folder / "c.npz"), "sounds": str(folder / "e.tar")}


def opened(files: dict[str, str], noise: dict[str, float] | None = None, **params: Any) -> Cifar10Esc10:
    kind = DATASETS.get("cifar10-esc10")
    data = kind.open(validated(kind.params, {**files, **params}, "data.params"), noise or {}, 0, 0)
    assert isinstance(data, Cifar10Esc10)
    return data


def test_pairs_agree_and_parts_keep_to_their_folds(files: dict[str, str]) -> None:
    data = opened(files)
    folds = {part: sorted(set(data.clips.folds_N[rows].tolist())) for part, rows in data.clip_rows.items()}
    assert folds == {"train": [1, 3], "val": [4], "test": [5]}
    for part, count in zip(PARTS, (90, 10, 20), strict=True):
        split = data.split(part)
        assert (len(split), split.skipped) == (count, 0)
        params = validated(DATASETS.get("cifar10-esc10").params, files, "")
        assert {name: x.shape[1:] for name, x in split.inputs.items()} == shapes(params)
        assert {x.dtype for x in split.inputs.values()} == {np.dtype(np.float32)}
        # A picture's red is its label, and its tone's pitch rises with it.
        red = np.round((split.inputs["image"][:, 0, 16, 16] * STD[0, 0] + MEAN[0, 0]) * 255)
        assert np.array_equal(red, 20 * split.labels)
        pitch = split.inputs["audio"][:, 0].mean(2).argmax(1)
        by_class = [set(pitch[split.labels == label].tolist()) for label in range(10)]
        assert all(len(found) == 1 for found in by_class)
        assert (np.diff([found.pop() for found in by_class]) > 0).all()


def test_a_training_clip_is_a_z_score_rolled_in_time(files: dict[str, str]) -> None:
    data = opened(files, roll=3)
    heard = data.clips.x_N1CT[data.clip_rows["train"]]
    z = (heard - heard.mean()) / heard.std()
    allowed = {by: np.roll(z, by, axis=3).reshape(len(z), -1) for by in range(-3, 4)}
    seen = set()
    for audio in data.split("train").inputs["audio"]:
        near = {by: np.abs(x - audio.ravel()).max(1).min() for by, x in allowed.items()}
        assert min(near.values()) < 1e-5
        seen.add(min(near, key=lambda by: near[by]))
    assert len(seen) > 1


def test_the_picture_of_a_sound_is_its_bands_over_time() -> None:
    sound = np.concatenate([tone(1000, 1.0), np.zeros(44_100)]).astype(np.float32)
    x_1CT = picture(sound)
    assert x_1CT.shape == (1, 64, 64)
    assert (x_1CT.max(), x_1CT.min()) == (1, 0)
    loud = x_1CT[0].max(0)
    assert (loud[:31] > 0.9).all()
    assert (loud[33:] == 0).all()


def test_training_is_drawn_anew_and_noise_has_its_level(files: dict[str, str]) -> None:
    data = opened(files)
    assert not np.array_equal(data.split("train", 0).inputs["audio"], data.split("train", 1).inputs["audio"])
    clean = data.split("test").inputs
    assert np.array_equal(data.split("test", 3).inputs["audio"], clean["audio"])
    noisy = opened(files, {"audio": 0.7}).split("test").inputs
    assert np.array_equal(noisy["image"], clean["image"])
    assert (noisy["audio"] - clean["audio"]).std() == pytest.approx(0.7, rel=0.02)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "unreadable": (lambda: b"no sound", "it cannot be decoded"),
    "rate": (lambda: ogg(tone(500, rate_hz=22_050), 22_050), "its sample rate is 22050 Hz, and 44100 Hz are expected"),
    "stereo": (lambda: ogg(np.stack([tone(500)] * 2, 1)), "it has 2 channels"),
    "silent": (lambda: ogg(np.zeros(70_000)), "it is silent"),
    "last bit": (lambda: ogg(1e-4 * tone(500)), "it is silent: it stays within .e-05 of its mean"),
    "short": (lambda: ogg(tone(500, 0.5)), r"its 22050 samples are shorter than 1\.5 s"),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_with_a_clip_is_told(content: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(ArtefactError, match=rf"the clip: {reason}.*--skip-bad"):
        read_clip(content(), "the clip")


def test_bad_clips_and_classes_without_a_partner_are_named_counted_and_skipped(
    tmp_path: Path, files: dict[str, str]
) -> None:
    spoilt = {"003 - Class 2/5-102-A.ogg": b"no sound", "005 - Class 4/sound.ogg": ogg(tone(500))}
    files = files | {"sounds": str(write_tar(tmp_path / "e.tar", {**clips(), **spoilt}))}
    with pytest.raises(ArtefactError, match=r"Class 2/5-102-A\.ogg: it cannot be decoded.*\(2 of 41 are bad\).*--skip"):
        opened(files)
    data = opened(files, skip_bad=True)
    # The clip without a fold counts with training; the test lost its clip and the two pictures of class 2.
    assert [data.split(part).skipped for part in PARTS] == [1, 0, 3]
    assert data.split("test").bad[-1].endswith("no clip in part 'test' is of its class 2")
    assert {part: len(rows) for part, rows in data.clip_rows.items()} == {"train": 20, "val": 10, "test": 9}
    assert sorted(set(data.split("test").labels.tolist())) == [0, 1, 3, 4, 5, 6, 7, 8, 9]


def test_a_class_without_a_partner_is_named(tmp_path: Path, files: dict[str, str]) -> None:
    fewer = {name: content for name, content in clips().items() if name != "003 - Class 2/5-102-A.ogg"}
    with pytest.raises(ArtefactError, match="no clip in part 'test' is of class 2"):
        opened(files | {"sounds": str(write_tar(tmp_path / "e.tar", fewer))}).split("test")


def test_folds_and_archives_that_do_not_fit_are_refused(tmp_path: Path, files: dict[str, str]) -> None:
    for folds in ({"test_folds": [4]}, {"test_folds": [6]}, {"test_folds": [1, 3, 5]}):
        with pytest.raises(UsageError, match=r"each fold is for one part.*\[1, 3, 4, 5\]"):
            opened(files, **folds)
    with pytest.raises(ArtefactError, match=r"there is no such file.*ESC-50, CC BY 3\.0"):
        read_clips(tmp_path / "gone.tar", False)
    (tmp_path / "x.tar").write_bytes(b"nothing" * 200)
    with pytest.raises(ArtefactError, match="it cannot be read"):
        read_clips(tmp_path / "x.tar", False)
    few = write_tar(tmp_path / "few.tar", {"001 - A/1-1-A.ogg": clips()["001 - Class 0/1-100-A.ogg"]})
    with pytest.raises(ArtefactError, match="clips of 1 classes, and 10 are expected"):
        read_clips(few, False)


def test_it_says_what_it_is() -> None:
    assert "proxy" in DATASETS.get("cifar10-esc10").note


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "esc10.tar").is_file(), reason="the real clips are not on this machine")
def test_the_real_clips() -> None:
    found = read_clips(SHARED / "esc10.tar", False)
    assert np.bincount(found.labels_N).tolist() == [40] * 10
    assert np.bincount(found.folds_N).tolist() == [0, 80, 80, 80, 80, 80]
    assert not any(found.faults)
    assert (found.x_N1CT.max((1, 2, 3)) > 0.5).all()
