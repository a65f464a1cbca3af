"""MNIST-DVS with N-TIDIGITS18: both formats by hand, parts, pairs, layouts, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from av_files import aedat, write_dvs, write_ntidigits

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.checks import validated
from spikeport.train.datasets import DATASETS
from spikeport.train.datasets.av_folders import dvs, ntidigits
from spikeport.train.datasets.av_folders.mnistdvs_ntidigits import (
    MnistDvsNtidigits,
    MnistDvsNtidigitsData,
    moved,
    pictured,
)
from spikeport.train.noise import corrupted
from spikeport.train.recipe import load_recipe

KIND = DATASETS.get("mnistdvs-ntidigits")


def opened(root: Path, seed: int = 0, noise: float = 0.0, **params: Any) -> MnistDvsNtidigits:
    folder = {"visual": str(root / "dvs"), "audio": str(root / "n-tidigits.hdf5"), "steps": 4}
    data = KIND.open(validated(KIND.params, folder | params, "data.params"), {"audio": noise}, 0, seed)
    assert isinstance(data, MnistDvsNtidigits)
    return data


def write(root: Path) -> Path:
    write_dvs(root / "dvs")
    write_ntidigits(root / "n-tidigits.hdf5")
    return root


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("events"))


def test_aedat_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    # Address 0x7F00 | 2 << 1 | 1: bits 8-14 are 127, so column 0; bits 1-7 are 2, so row 125; bit 0 says a fall.
    path.write_bytes(
        b"#!AER-DAT2.0\r\n# c\r\n" + bytes.fromhex("00007F05 00000064 00000000 000000C8 00008000 000000C9")
    )
    events = dvs.read_events(path, 128)
    columns = zip(events.t_us_E, events.p_E, events.y_E, events.x_E, strict=True)
    assert [tuple(map(int, row)) for row in columns] == [(0, 0, 125, 0), (100, 1, 127, 127)]
    counts = dvs.frames(events, 2, 128)
    assert {tuple(map(int, at)) for at in np.argwhere(counts)} == {(0, 0, 125, 0), (1, 1, 127, 127)}
    path.write_bytes(aedat([(5, 1, 3, 4), (9, 0, 126, 0)]))
    back = dvs.read_events(path, 128)
    assert (back.p_E.tolist(), back.y_E.tolist(), back.x_E.tolist()) == ([1, 0], [3, 126], [4, 0])


def test_npy_rows_or_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    rows = np.array([[10, 3, 4, 1], [30, 5, 6, 0]])
    np.save(path, rows)
    records = np.array([tuple(row) for row in rows], [("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "?")])
    np.save(tmp_path / "b.npy", records)
    for file in (path, tmp_path / "b.npy"):
        events = dvs.read_events(file, 28)
        assert (events.t_us_E.tolist(), events.x_E.tolist(), events.y_E.tolist()) == ([0, 20], [3, 5], [4, 6])
        assert events.p_E.tolist() == [1, 0]


def test_spikes_of_an_utterance_by_hand(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["train_timestamps/u"] = [0.5, 0.6, 0.9, 1.0, 1.5]
        file["train_addresses/u"] = np.array([7, 7, 3, 63, 0], np.uint8)
        counts_TC = ntidigits.read_counts(file, "train", "u", 2)
    assert {tuple(map(int, at)): int(counts_TC[tuple(at)]) for at in np.argwhere(counts_TC)} == {
        (0, 7): 2,
        (0, 3): 1,
        (1, 63): 1,
        (1, 0): 1,
    }


def test_single_digits_and_both_zeros(tmp_path: Path) -> None:
    with ntidigits.open_file(write_ntidigits(tmp_path / "a.hdf5")) as file:
        found = ntidigits.utterances(file, "train", keep_oh=True)
        fewer = ntidigits.utterances(file, "train", keep_oh=False)
    assert np.bincount(found.labels_N).tolist() == [16] + [8] * 9
    assert np.bincount(fewer.labels_N).tolist() == [8] * 10
    assert not any(name.endswith("-12") for name in found.names)
    assert set(found.speakers_N) == {f"man-s{k}" for k in range(4)}
    assert found.misnamed == ()


def test_parts_share_nothing(written: Path) -> None:
    data = opened(written)
    videos = {part: set(rows.tolist()) for part, rows in data.visual_rows.items()}
    assert {part: len(rows) for part, rows in videos.items()} == {"train": 40, "val": 10, "test": 50}
    assert len(set.union(*videos.values())) == 100
    spoken = {part: data.spoken["train"].speakers_N[data.audio_rows[part]] for part in ("train", "val")}
    speakers = {part: set(some) for part, some in spoken.items()} | {"test": set(data.spoken["test"].speakers_N)}
    assert {part: len(some) for part, some in speakers.items()} == {"train": 3, "val": 1, "test": 4}
    assert len(set.union(*speakers.values())) == 8


def test_pairs_are_of_one_class(written: Path) -> None:
    # Rows 50 to 59 of the camera are 10 to 19 of its central 48.
    data = opened(written, augment=False, window=48)
    for part in ("train", "val", "test"):
        split = data.split(part)  # type: ignore[arg-type]
        visual, audio = split.inputs["visual"], split.inputs["audio"]
        assert visual.shape[1:] == (4, 2, 48, 48)
        assert audio.shape[1:] == (4, 64)
        assert visual.sum((1, 2, 3, 4)).tolist() == [20] * len(split)
        assert (visual.sum((1, 2, 4)).argmax(1) - 10).tolist() == split.labels.tolist()
        assert visual.sum((2, 3, 4)).tolist() == [[5] * 4] * len(split)
        heard = audio.sum(1).argmax(1)
        assert np.where(heard == 30, 0, heard // 3)[heard != 30].tolist() == split.labels[heard != 30].tolist()
        assert (split.labels[heard == 30] == 0).all()
        assert len(set(split.labels[:8])) > 1
    again = opened(written, augment=False, window=48).split("test").inputs["visual"]
    assert np.array_equal(again, data.split("test").inputs["visual"])
    labels = [data.split("train", epoch).labels for epoch in (0, 1, 0)]
    assert np.array_equal(labels[0], labels[2])
    assert not np.array_equal(labels[0], labels[1])
    assert np.bincount(opened(written, per_class=2, window=48).split("test").labels).tolist() == [2] * 10
    without = opened(written, oh="left out", window=48).split("test").inputs["audio"]
    assert not (without.sum(1).argmax(1) == 30).any()


def test_the_window_and_its_pool(written: Path) -> None:
    # Rows 50 to 59 and columns 40 to 59 of the camera: the central 48 begin at 40.
    split = opened(written, window=48, pool=2).split("test")
    visual = split.inputs["visual"]
    assert visual.shape[1:] == (4, 2, 24, 24)
    assert (visual.sum((1, 2, 4)).argmax(1) == (10 + split.labels) // 2).all()
    assert visual.sum((1, 2, 3, 4)).tolist() == [20] * len(split)


def test_the_papers_layout(written: Path) -> None:
    split = opened(written, layout="paper", window=28).split("test")
    shapes = KIND.shapes(validated(KIND.params, {"visual": "x", "audio": "x", "steps": 4, "layout": "paper"}, ""))
    assert {name: x.shape[1:] for name, x in split.inputs.items()} == shapes
    assert shapes == {"visual": (4, 2, 28, 28), "audio": (4, 1, 28, 28)}
    # A window of 28 is not resized: counts are left, normalised as MNIST is.
    assert set(np.unique(split.inputs["visual"] * np.float32(0.3081) + np.float32(0.1307)).round(4)) <= {0, 1, 2, 3}
    loud = split.inputs["audio"].max((1, 2)).reshape(len(split), -1).argmax(1)
    row, column = loud // 28, loud % 28
    # Channel 8 r + c stands at row r and column c of 8 x 8, 3.5 pixels each.
    channel = 8 * np.round((row + 0.5) / 3.5 - 0.5) + np.round((column + 0.5) / 3.5 - 0.5)
    said = channel != 30
    assert (channel[said] // 3 == split.labels[said]).all()


def papers(**params: int) -> MnistDvsNtidigitsData:
    return MnistDvsNtidigitsData(visual=Path("x"), audio=Path("x"), layout="paper", **params)  # type: ignore[arg-type]


def test_the_papers_pictures_hold_every_event_of_the_window() -> None:
    counts_TPHW = np.random.default_rng(0).poisson(0.3, (3, 2, 128, 128)).astype(np.float32)
    found = pictured(counts_TPHW, papers(window=112, pool=4))
    window = counts_TPHW[..., 8:120, 8:120]
    assert np.array_equal(found.sum((2, 3)), window.sum((2, 3)))
    assert found[1, 0, 5, 27] == window[1, 0, 20:24, 108:112].sum()
    small = counts_TPHW[..., :28, :28]
    assert np.array_equal(pictured(small, papers(pixels=28)), small)
    lone = np.zeros((196, 2, 14, 14), np.float32)
    lone[np.arange(196), 0, np.arange(196) // 14, np.arange(196) % 14] = 1
    assert (pictured(lone, papers(pixels=14)).max((1, 2, 3)) > 0.5).all()


def test_the_recipe_takes_the_cameras_recordings_and_the_papers(written: Path, tmp_path: Path) -> None:
    recipe = load_recipe("s-cmrl-mnistdvs", [])
    params = recipe.data.params | {"augment": False}
    files = {"visual": str(written / "dvs"), "audio": str(written / "n-tidigits.hdf5")}
    visual = opened(written, **(params | files)).split("test").inputs["visual"]
    counts = visual * np.float32(0.3081) + np.float32(0.1307)
    np.testing.assert_allclose(counts.sum((1, 2, 3, 4)), 20, rtol=1e-4)
    own = params | files | {"pixels": 28, "window": 28, "pool": 1, "visual": str(write_small(tmp_path))}
    assert opened(written, **own).split("test").inputs["visual"].shape[1:] == (16, 2, 28, 28)


def test_training_recordings_move_as_wholes() -> None:
    still = np.zeros((20, 3, 2, 9, 9), np.float32)
    still[:, :, :, 4, 4] = 1
    found = moved(still, np.random.default_rng(0))
    at = np.argwhere(found)
    assert len(at) == still.sum()
    places = {tuple(row[[0, 3, 4]]) for row in at}
    assert len(places) == 20
    assert len({place[1:] for place in places}) > 10


def spoil(root: Path, how: str, data: MnistDvsNtidigits) -> str:
    """Do one thing to one recording or utterance of the test part; return what the message must say."""
    path = data._videos.paths[data.visual_rows["test"][3]]
    name = data.spoken["test"].names[5]
    with h5py.File(root / "n-tidigits.hdf5", "a") as file:
        match how:
            case "missing":
                path.unlink()
                path.symlink_to(root / "gone")
                return f"{path.name}.*cannot be read"
            case "truncated":
                path.write_bytes(path.read_bytes()[:-3])
                return f"{path.name}.*truncated"
            case "empty":
                path.write_bytes(b"#!AER-DAT2.0\r\n")
                return f"{path.name}.*no event"
            case "version":
                path.write_bytes(path.read_bytes().replace(b"DAT2.0", b"DAT3.1"))
                return f"{path.name}.*AER-DAT3.1, and AER-DAT2.0 is read"
            case "foreign":
                path.write_bytes(b"#!AER-DAT2.0\r\n" + bytes.fromhex("00010000 00000001"))
                return f"{path.name}.*more than 16 bits"
            case "endless":
                path.write_bytes(aedat([(0, 0, 1, 1), (61_000_000, 0, 1, 1)]))
                return f"{path.name}.*last 61 s"
            case "silent":
                del file[f"test_timestamps/{name}"], file[f"test_addresses/{name}"]
                file[f"test_timestamps/{name}"] = np.zeros(0)
                file[f"test_addresses/{name}"] = np.zeros(0, np.uint8)
                return f"test utterance '{name}': it is silent"
            case "absent":
                del file[f"test_addresses/{name}"]
                return f"test utterance '{name}': it cannot be read"
            case "channel":
                file[f"test_addresses/{name}"][2] = 64
                return f"test utterance '{name}': it has channel 64"
            case "lengths":
                del file[f"test_addresses/{name}"]
                file[f"test_addresses/{name}"] = np.zeros(3, np.uint8)
                return f"test utterance '{name}': it has times of shape"
            case "nan":
                file[f"test_timestamps/{name}"][1] = np.nan
                return f"test utterance '{name}': its times hold NaN"
        labels = file["test_labels"][:].tolist()
        del file["test_labels"]
        file["test_labels"] = [*labels, b"man-s9-a-x"]
    return "test utterance 'man-s9-a-x': it names no digit"


HOWS = ["missing", "truncated", "empty", "version", "foreign", "endless"]
HOWS += ["silent", "absent", "channel", "lengths", "nan", "label"]


@pytest.mark.parametrize("how", HOWS)
def test_a_bad_recording_is_named_or_skipped(written: Path, tmp_path: Path, how: str) -> None:
    root = shutil.copytree(written, tmp_path / "copy")
    reason = spoil(root, how, opened(root))
    with pytest.raises(ArtefactError, match=f"{reason}.*(--skip-bad|Convert it)"):
        opened(root).split("test")
    left = opened(root, skip_bad=True).split("test")
    assert (len(left), left.skipped) == (50 - (how in HOWS[:6]), 1)


def test_bad_npy_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for rows, reason in (
        (np.zeros((3, 5), int), "no rows t, x, y, p"),
        (np.ones((3, 4)), "no integers"),
        (np.array([[1, 28, 0, 0]]), r"event 0 lies at \(28, 0\), polarity 0, outside of 28 x 28"),
        (np.array([[1, 0, 0, 2]]), "polarity 2"),
        (np.array([[1, -1, 0, 0]]), r"\(-1, 0\)"),
    ):
        np.save(path, rows)
        with pytest.raises(ArtefactError, match=reason):
            dvs.read_events(path, 28)
    path.write_bytes(b"text")
    with pytest.raises(ArtefactError, match="cannot be read"):
        dvs.read_events(path, 28)


def test_a_class_without_partner_is_refused(written: Path, tmp_path: Path) -> None:
    write_ntidigits(tmp_path / "few.hdf5", digits="zo12345678")
    params = {"audio": str(tmp_path / "few.hdf5")}
    with pytest.raises(ArtefactError, match="no utterance says 9, so 5 MNIST-DVS recordings have no partner"):
        opened(written, **params).split("test")
    left = opened(written, skip_bad=True, **params).split("test")
    assert (len(left), left.skipped) == (45, 5)
    assert left.bad[0].endswith("it has no partner: no utterance in part 'test' says 9")


def test_what_is_not_there_is_named(written: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"dvs: there is no such folder.*imse-cnm"):
        opened(tmp_path)
    with pytest.raises(ArtefactError, match=r"grabbed_data0.*no recording of 0"):
        opened(written, scale=8)
    with pytest.raises(ArtefactError, match=r"gone: there is no such file.*CC BY-SA 4.0"):
        opened(written, audio=str(tmp_path / "gone"))
    (tmp_path / "text.hdf5").write_text("no HDF5")
    with pytest.raises(ArtefactError, match="no HDF5 file"):
        opened(written, audio=str(tmp_path / "text.hdf5"))
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["train_labels"] = [b"a"]
    with pytest.raises(ArtefactError, match="lacks 'train_timestamps'"):
        opened(written, audio=str(tmp_path / "other.hdf5"))


def write_small(root: Path) -> Path:
    """Recordings of 28 x 28 pixels: events of digit d only in column d."""
    for digit in range(10):
        (root / str(digit)).mkdir()
        for i in range(4):
            rows = np.array([[k, digit, 5, k % 2] for k in range(8)])
            np.save(root / str(digit) / f"{i}.npy", rows)
    return root


def test_plain_digit_folders(written: Path, tmp_path: Path) -> None:
    split = opened(written, visual=str(write_small(tmp_path)), pixels=28).split("test")
    assert (split.inputs["visual"].sum((1, 2, 3)).argmax(1) == split.labels).all()


def test_settings_are_checked(written: Path) -> None:
    for params, reason in (
        ({"window": 129}, "the camera has 128 pixels"),
        ({"pool": 3}, "do not fall into such squares"),
        ({"layout": "paper"}, r"window=128, pool=1: 128 x 128 pixels.*lose events.*window=112 and data.params.pool=4"),
        ({"layout": "paper", "window": 60}, r"60 x 60 pixels.*window=56 and data\.params\.pool=2"),
        ({"layout": "paper", "window": 112, "pool": 2}, "56 x 56 pixels are left of 128 x 128"),
        ({"layout": "paper", "window": 112, "pool": 3}, "do not fall into such squares"),
        ({"steps": 100_000}, "they fill"),
        ({"noise": 1.0}, "Gaussian"),
    ):
        with pytest.raises(UsageError, match=reason):
            opened(written, **params).split("test")  # type: ignore[arg-type]


def test_background_activity_adds_counts_to_counts_and_gaussian_noise_to_the_papers_pictures(written: Path) -> None:
    levels = {"visual": 5.0, "audio": 5.0}
    for layout, counts in {"channels": True, "paper": False}.items():
        split = opened(written, layout=layout, window=112, pool=4).split("test")
        params = validated(KIND.params, {"visual": "dvs", "audio": "n-tidigits.hdf5", "layout": layout}, "data.params")
        noisy = corrupted(split, levels, 0, KIND.events(params))
        for name, x in noisy.inputs.items():
            assert (x != split.inputs[name]).any()
            assert ((x == np.round(x)) & (x >= split.inputs[name])).all() == counts
