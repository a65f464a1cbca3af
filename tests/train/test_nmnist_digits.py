"""N-MNIST events with spoken digits: parts, pairs, bins, speakers, augmentation, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nmnist_files import REAL as REAL_EVENTS
from nmnist_files import write_folder
from scipy.io import wavfile
from spoken_files import REAL as REAL_SPOKEN
from spoken_files import tone, write_spoken

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.checks import validated
from spikeport.train.datasets import DATASETS, nmnist_digits
from spikeport.train.datasets.event_table import EventTable
from spikeport.train.datasets.nmnist import Events, NMnistData, binned
from spikeport.train.datasets.nmnist_digits import NMnistDigits, NMnistDigitsData, shapes

PARTS = ("train", "val", "test")


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    write_folder(tmp_path / "events")
    write_spoken(tmp_path / "spoken")
    return {"nmnist": str(tmp_path / "events"), "recordings": str(tmp_path / "spoken")}


def opened(folders: dict[str, str], split_seed: int = 0, seed: int = 0, **params: Any) -> NMnistDigits:
    kind = DATASETS.get("nmnist-digits")
    data = kind.open(validated(kind.params, {**folders, **params}, "data.params"), {}, split_seed, seed)
    assert isinstance(data, NMnistDigits)
    return data


def test_parts_share_nothing_and_pairs_agree(folders: dict[str, str]) -> None:
    data = opened(folders)
    for rows, total in ((data.visual_rows, 100), (data.audio_rows, 120)):
        assert sorted(np.concatenate([rows[part] for part in PARTS]).tolist()) == list(range(total))
    for part in PARTS:
        split = data.split(part)
        assert len(split) == len(data.visual_rows[part])
        assert {name: x.shape[1:] for name, x in split.inputs.items()} == {"visual": (16, 2, 17, 17), "audio": (16, 64)}
        assert {name: np.unique(x).tolist() for name, x in split.inputs.items()} == {"visual": [0, 1], "audio": [0, 1]}
    test = data.split("test")
    # Digit d's events lie in row d, and its tone's pitch rises with d.
    assert (test.inputs["visual"].sum((1, 2, 4)).argmax(1) == test.labels // 2).all()
    pitch = [test.inputs["audio"][test.labels == digit].sum((0, 1)).argmax() for digit in range(10)]
    assert (np.diff(pitch) > 0).all()


def test_training_is_paired_anew_each_epoch_and_the_rest_never(folders: dict[str, str]) -> None:
    first, second = opened(folders), opened(folders, seed=1)
    same = (first.split("train", 3), opened(folders).split("train", 3))
    assert all(np.array_equal(same[0].inputs[name], same[1].inputs[name]) for name in ("visual", "audio"))
    assert not np.array_equal(first.split("train", 0).inputs["audio"], first.split("train", 1).inputs["audio"])
    assert not np.array_equal(first.split("train", 0).inputs["audio"], second.split("train", 0).inputs["audio"])
    for name in ("visual", "audio"):
        assert np.array_equal(first.split("test", 0).inputs[name], second.split("test", 5).inputs[name])


def test_bins_are_those_of_nmnist_and_pooling_sums(folders: dict[str, str]) -> None:
    draw = np.random.default_rng(0)
    events = [
        Events(np.sort(draw.integers(0, 400, 90)), draw.integers(0, 2, 90), *draw.integers(0, 34, (2, 90)))
        for _ in range(3)
    ]
    table = EventTable.of(events)
    params = NMnistData(folder=Path("x"), steps=3, bin_us=100)
    expected = np.stack([binned(events[row], params) for row in (2, 0)])
    assert np.array_equal(table.frames(np.array([2, 0]), 3, 100, 1, binary=False), expected)
    pooled = expected.reshape(2, 3, 2, 17, 2, 17, 2).sum((4, 6))
    assert np.array_equal(table.frames(np.array([2, 0]), 3, 100, 2, binary=False), pooled)
    assert np.array_equal(table.frames(np.array([2, 0]), 3, 100, 2, binary=True), np.minimum(pooled, 1))
    moved = table.frames(np.array([2, 0]), 3, 100, 1, False, np.array([[2, -1], [0, 0]]))
    assert np.array_equal(moved[0, :, :, 2:, :-1], expected[0, :, :, :-2, 1:])
    assert not moved[0, :, :, :2].any()
    assert np.array_equal(moved[1], expected[1])


def test_channels_double_with_level_crossing(folders: dict[str, str]) -> None:
    params = {"encoder": "level-crossing", "channels": 20, "values": "counts", "steps": 4, "pool": 17}
    split = opened(folders, **params).split("val")
    kind = DATASETS.get("nmnist-digits")
    assert shapes(validated(kind.params, {**folders, **params}, "")) == {"visual": (4, 2, 2, 2), "audio": (4, 40)}
    assert split.inputs["audio"].shape == (10, 4, 40)
    assert split.inputs["visual"].max() > 1


def test_training_noise_is_for_training_and_the_input_named(folders: dict[str, str]) -> None:
    clean, noisy = opened(folders), opened(folders, train_noise_db={"visual": 0.0})
    for part in PARTS:
        a, b = clean.split(part, 2), noisy.split(part, 2)
        assert np.array_equal(a.inputs["audio"], b.inputs["audio"])
        share = b.inputs["visual"].sum() / a.inputs["visual"].sum()
        assert 1.9 < share <= 2 if part == "train" else share == 1
    with pytest.raises(UsageError, match="train_noise_db"):
        opened(folders, train_noise_db={"image": 0.0})


def test_both_inputs_are_events() -> None:
    assert DATASETS.get("nmnist-digits").events(None) == {"visual", "audio"}
    assert DATASETS.get("nmnist").events(None) == {"events"}
    assert DATASETS.get("av-digits").events(None) == frozenset()


def test_speakers_are_held_out(folders: dict[str, str]) -> None:
    data = opened(folders, split="speakers", test_speakers=["bob"])
    heard = {part: set(data.spoken.speakers_N[data.audio_rows[part]].tolist()) for part in PARTS}
    assert heard == {"train": {"ann", "cat"}, "val": heard["val"], "test": {"bob"}}
    assert "bob" not in heard["val"]
    assert np.bincount(data.spoken.labels_N[data.audio_rows["val"]]).tolist() == [1] * 10
    data = opened(folders, split="speakers", test_speakers=["bob"], val_speakers=["ann"])
    heard = {part: set(data.spoken.speakers_N[data.audio_rows[part]].tolist()) for part in PARTS}
    assert heard == {"train": {"cat"}, "val": {"ann"}, "test": {"bob"}}


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"split": "speakers"}, "needs some for the test"),
        ({"split": "speakers", "test_speakers": ["bob"], "val_speakers": ["bob"]}, "none of them twice"),
        ({"split": "speakers", "test_speakers": ["ann", "bob", "cat"]}, "leaves some for training"),
        ({"split": "speakers", "test_speakers": ["dog"]}, "'dog': no recording is theirs.*ann, bob, cat"),
        ({"test_speakers": ["bob"]}, "split is random"),
    ],
)
def test_speakers_that_do_not_fit_are_refused(folders: dict[str, str], params: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        opened(folders, **params)


def corrupt(path: Path) -> None:
    path.write_bytes(b"no sound")


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


LAST_BITS = np.random.default_rng(0).integers(-1, 2, 1600).astype(np.int16)
BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "unreadable": (corrupt, "it cannot be read"),
    "truncated": (shortened, "it cannot be read"),
    "rate": (lambda path: wavfile.write(path, 16_000, tone(500)), "its sample rate is 16000 Hz, and 8000 Hz are"),
    "silent": (lambda path: wavfile.write(path, 8000, np.zeros(1600, np.int16)), "it is silent"),
    "last bit": (lambda path: wavfile.write(path, 8000, LAST_BITS), "it is silent: it stays within 3e-05 of its mean"),
    "offset": (lambda path: wavfile.write(path, 8000, 1000 + LAST_BITS), "it is silent"),
    "short": (lambda path: wavfile.write(path, 8000, tone(500, 0.02)), "its 160 samples are fewer than 240"),
    "stereo": (lambda path: wavfile.write(path, 8000, np.stack([tone(500)] * 2, 1)), ".*one channel of 16 bits"),
    "bits": (lambda path: wavfile.write(path, 8000, tone(500).astype(np.float32)), ".*one channel of 16 bits"),
}


@pytest.mark.parametrize(("spoil", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_clip_is_named_counted_and_skipped(
    folders: dict[str, str], spoil: Callable[[Path], None], reason: str
) -> None:
    good = opened(folders)
    files = [good.spoken.paths[good.audio_rows["test"][n]] for n in (0, 5)]
    for file in files:
        spoil(file)
    with pytest.raises(ArtefactError, match=rf"\.wav: {reason}.*\(2 of 120 are bad\).*--skip-bad"):
        opened(folders)
    left = opened(folders, skip_bad=True)
    assert [left.split(part).skipped for part in PARTS] == [0, 0, 2]
    assert set(left.audio_rows["test"]) == set(good.audio_rows["test"]) - {
        good.spoken.paths.index(file) for file in files
    }
    assert np.array_equal(left.audio_rows["train"], good.audio_rows["train"])


@pytest.mark.parametrize(
    ("name", "reason"), [("12_ann_0.wav", "its label 12 is not in 0..9"), ("hello.wav", "its name is not")]
)
def test_a_clip_without_a_label_is_named_counted_and_skipped(folders: dict[str, str], name: str, reason: str) -> None:
    wavfile.write(Path(folders["recordings"]) / name, 8000, tone(500))
    with pytest.raises(ArtefactError, match=rf"{name}: {reason}.*\(1 such\)"):
        opened(folders)
    assert opened(folders, skip_bad=True).split("test").skipped == 1


def test_a_bad_event_recording_is_counted(folders: dict[str, str]) -> None:
    bad = sorted(Path(folders["nmnist"]).glob("Train/*/*.bin"))[7]
    bad.write_bytes(b"1234")
    with pytest.raises(ArtefactError, match=rf"{bad}: .*\(1 of 100 is bad\)"):
        opened(folders)
    data = opened(folders, skip_bad=True)
    assert sum(data.split(part).skipped for part in PARTS) == 1
    assert sum(len(data.split(part)) for part in PARTS) == 99
    # The others keep their events: a bad file moves nobody's row.
    test = data.split("test")
    assert (test.inputs["visual"].sum((1, 2, 4)).argmax(1) == test.labels // 2).all()


def test_a_class_without_a_partner_is_named_counted_and_skipped(folders: dict[str, str]) -> None:
    for path in Path(folders["recordings"]).glob("3_*.wav"):
        path.unlink()
    with pytest.raises(ArtefactError, match="no clip says 3, so 2 event recordings have no partner"):
        opened(folders).split("test")
    split = opened(folders, skip_bad=True).split("test")
    assert (len(split), split.skipped) == (18, 2)
    assert all("/Train/3/" in text and "no clip in part 'test' says 3" in text for text in split.bad)
    assert 3 not in split.labels


def test_what_is_not_there_is_named_with_where_it_comes_from(tmp_path: Path, folders: dict[str, str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ArtefactError, match=r"Train: there is no such folder.*garrickorchard.*CC BY-SA 4\.0"):
        opened({**folders, "nmnist": str(empty)})
    with pytest.raises(ArtefactError, match=r"there is no such folder.*free-spoken-digit.*CC BY-SA 4\.0"):
        opened({**folders, "recordings": str(tmp_path / "gone")})
    with pytest.raises(ArtefactError, match="it holds no recording"):
        opened({**folders, "recordings": str(empty)})
    with pytest.raises(UsageError, match="Gaussian"):
        DATASETS.get("nmnist-digits").open(NMnistDigitsData(nmnist=empty, recordings=empty), {"audio": 0.5}, 0, 0)


def test_a_part_too_large_for_memory_is_refused(folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    # 20 pairs of 2 x 34 x 34 pixels and 64 channels, 16 steps, 4 bytes: 3041280.
    monkeypatch.setattr(nmnist_digits, "MAX_PART_BYTES", 3_041_280)
    assert len(opened(folders, pool=1).split("test")) == 20
    monkeypatch.setattr(nmnist_digits, "MAX_PART_BYTES", 3_041_279)
    with pytest.raises(UsageError, match="20 pairs of 16 steps"):
        opened(folders, pool=1).split("test")


def test_a_limit_keeps_all_speakers(folders: dict[str, str]) -> None:
    data = opened(folders, per_class=6)
    assert len(data.spoken.paths) == 60
    assert {tuple(data.spoken.speakers_N[data.spoken.labels_N == d].tolist()) for d in range(10)} == {
        ("ann", "bob", "cat") * 2
    }


@pytest.mark.skipif(not (REAL_EVENTS.is_dir() and REAL_SPOKEN.is_dir()), reason="the real recordings are not here")
def test_the_real_recordings() -> None:
    data = opened({"nmnist": str(REAL_EVENTS), "recordings": str(REAL_SPOKEN)}, per_class=30)
    test = data.split("test")
    assert np.bincount(test.labels).tolist() == [6] * 10
    assert len(set(data.spoken.speakers_N.tolist())) == 6
    assert 0.03 < test.inputs["visual"].mean() < 0.3
    assert 0.05 < test.inputs["audio"].mean() < 0.5
