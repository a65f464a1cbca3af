"""N-MNIST: the format by hand, the parts, what is refused; the real recordings where they are at hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nmnist_files import REAL, packed, write_folder

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.checks import validated
from spikeport.train.datasets import DATASETS
from spikeport.train.datasets.nmnist import (
    NMnist,
    NMnistData,
    binned,
    read_events,
    recordings,
    shapes,
)


def opened(folder: Path, **params: Any) -> NMnist:
    kind = DATASETS.get("nmnist")
    data = kind.open(validated(kind.params, {"folder": str(folder), **params}, "data.params"), {}, 0, 0)
    assert isinstance(data, NMnist)
    return data


def test_the_format_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    events = [(0, 1, 2, 3), (999, 1, 2, 3), (1000, 0, 33, 0), (4_500_000, 1, 0, 33)]
    file.write_bytes(b"".join(packed(*event) for event in events))
    found = read_events(file)
    columns = (found.t_us_E, found.p_E, found.y_E, found.x_E)
    assert [tuple(map(int, event)) for event in zip(*columns, strict=True)] == events
    params = NMnistData(folder=tmp_path, steps=3)
    counts = binned(found, params)
    assert counts.shape == shapes(params)["events"] == (3, 2, 34, 34)
    assert {tuple(map(int, at)): int(counts[tuple(at)]) for at in np.argwhere(counts)} == {
        (0, 1, 2, 3): 2,
        (1, 0, 33, 0): 1,
    }
    binary = binned(found, NMnistData(folder=tmp_path, steps=3, values="binary"))
    assert binary.max() == 1
    assert binary.sum() == 2
    assert binned(found, NMnistData(folder=tmp_path, steps=1, bin_us=5_000_000)).sum() == 4


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tonic's own needs have no wheels for Python 3.12 and later")
def test_tonic_reads_the_same(tmp_path: Path) -> None:
    from tonic.io import events_struct, read_mnist_file

    paths = sorted((REAL if REAL.is_dir() else write_folder(tmp_path)).glob("Train/*/*.bin"))[::97]
    assert paths
    for path in paths:
        ours, theirs = read_events(path), read_mnist_file(path, dtype=events_struct)
        for column, name in ((ours.t_us_E, "t"), (ours.p_E, "p"), (ours.y_E, "y"), (ours.x_E, "x")):
            np.testing.assert_array_equal(column, theirs[name])


def test_parts_share_no_recording_and_hold_all(tmp_path: Path) -> None:
    data = opened(write_folder(tmp_path), steps=40)
    names = {part: set(chosen.paths) for part, chosen in data.parts.items()}
    assert {part: len(paths) for part, paths in names.items()} == {"train": 70, "val": 10, "test": 20}
    assert len(set.union(*names.values())) == 100
    test = data.split("test")
    assert np.bincount(test.labels).tolist() == [2] * 10
    events = test.inputs["events"]
    assert events.dtype == np.float32
    assert events.sum(axis=(1, 2, 3, 4)).tolist() == [50] * 20
    assert events.sum(axis=(1, 2, 4)).argmax(1).tolist() == test.labels.tolist()
    assert len(set(test.labels[:8])) > 1  # in no order of digits
    assert np.array_equal(opened(tmp_path, steps=40).split("test").inputs["events"], events)


def test_the_official_test_folder_is_the_test_part(tmp_path: Path) -> None:
    write_folder(tmp_path)
    write_folder(tmp_path, per_digit=3, folder="Test", seed=1)
    parts = opened(tmp_path).parts
    assert {path.parent.parent.name for path in parts["test"].paths} == {"Test"}
    assert [len(parts[part].paths) for part in ("train", "val", "test")] == [90, 10, 30]
    assert len(opened(tmp_path, per_class=2).parts["test"].paths) == 20


BAD = {
    "truncated": (packed(5, 1, 2, 3)[:-1], "4 bytes"),
    "empty": (b"", "no event"),
    "outside": (packed(5, 1, 2, 3) + packed(6, 0, 240, 3), r"event 1 lies at \(3, 240\)"),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_recording_is_named_or_skipped(tmp_path: Path, content: bytes, reason: str) -> None:
    write_folder(tmp_path)
    bad = opened(tmp_path).parts["test"].paths[3]
    bad.write_bytes(content)
    with pytest.raises(ArtefactError, match=f"{bad}: .*{reason}.*--skip-bad"):
        opened(tmp_path, steps=2).split("test")
    left = opened(tmp_path, steps=2, skip_bad=True).split("test")
    assert (len(left), left.skipped, left.take(slice(2)).skipped) == (19, 1, 1)
    assert [text.partition(": ")[0] for text in left.take(slice(2)).bad] == [str(bad)]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"Train: there is no such folder.*folder"):
        opened(tmp_path)
    write_folder(tmp_path, per_digit=1)
    for path in (tmp_path / "Train" / "7").iterdir():
        path.unlink()
    with pytest.raises(ArtefactError, match=r"7: it holds no \.bin recording"):
        opened(tmp_path)
    with pytest.raises(ArtefactError, match=r"gone\.bin: it cannot be read"):
        read_events(tmp_path / "gone.bin")
    write_folder(tmp_path / "few", per_digit=2)
    with pytest.raises(ArtefactError, match="none of the 0 recordings"):
        opened(tmp_path / "few").split("test")


def test_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.params\.folder': it is missing"):
        validated(NMnistData, {}, "data.params")
    with pytest.raises(UsageError, match=r"data\.params\.bin_us"):
        opened(tmp_path, bin_us=0.5)
    write_folder(tmp_path)
    with pytest.raises(UsageError, match=r"they fill 17 GiB.*per_class"):
        opened(tmp_path, steps=100_000).split("test")
    kind = DATASETS.get("nmnist")
    with pytest.raises(UsageError, match="Gaussian"):
        kind.open(NMnistData(folder=tmp_path), {"events": 0.5}, 0, 0)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not on this machine")
def test_the_real_recordings(tmp_path: Path) -> None:
    found = recordings(REAL / "Train")
    assert len(found.paths) >= 1000
    for path, label in zip(found.paths[::50], found.labels_N[::50], strict=True):
        events = read_events(path)
        assert path.parent.name == str(label)
        assert 1000 < len(events.t_us_E) < 12_000
        assert (np.diff(events.t_us_E) >= 0).all()
        assert 290_000 < events.t_us_E.max() < 330_000
        assert 0.3 < events.p_E.mean() < 0.7
        counts = binned(events, NMnistData(folder=REAL))
        assert counts.sum() == (events.t_us_E < 300_000).sum() > 0.95 * len(events.t_us_E)
