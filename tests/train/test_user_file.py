from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.datasets.user_file import load_file
from spikeport.train.encodings import EncodingSpec, encode

TWO = {"image": (1, 2, 2), "audio": (3,)}
SWEEP = EncodingSpec(name="sweep")
T, N = 4, 5


def _arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        "y": np.array([0, 1, 2, 1, 0]),
        "x_image": draw.random((N, 1, 2, 2)).astype(np.float32),
        "x_audio": draw.integers(0, 2, (N, T, 3)).astype(np.uint8),
    }


def _write(tmp_path: Path, arrays: dict[str, np.ndarray]) -> Path:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    return path


def test_encoded_and_raw_inputs_may_be_mixed(tmp_path: Path) -> None:
    arrays = _arrays()
    data = load_file(_write(tmp_path, arrays), TWO, T, 3, {"image": SWEEP})
    assert torch.equal(data.encoded["image"], encode(SWEEP, arrays["x_image"], T))
    assert np.array_equal(data.encoded["audio"].numpy(), arrays["x_audio"].swapaxes(0, 1))
    assert data.labels_N.tolist() == [0, 1, 2, 1, 0]
    assert (data.raw, data.bad) == (None, ())


def test_a_single_input_may_be_called_x_and_raw_samples_are_kept(tmp_path: Path) -> None:
    arrays = {"x": _arrays()["x_image"], "y": _arrays()["y"]}
    data = load_file(_write(tmp_path, arrays), {"image": (1, 2, 2)}, T, 3, {"image": SWEEP})
    assert data.raw is not None
    assert np.array_equal(data.raw.inputs["image"], arrays["x"])


def test_bad_samples_are_refused_or_skipped_and_counted(tmp_path: Path) -> None:
    arrays = _arrays()
    arrays["x_image"][2, 0, 1, 1] = np.nan
    arrays["y"][4] = 3
    path = _write(tmp_path, arrays)
    with pytest.raises(ArtefactError, match=r"sample 2: input 'image' holds NaN or infinity \(2 of 5 are bad\)"):
        load_file(path, TWO, T, 3, {"image": SWEEP})
    data = load_file(path, TWO, T, 3, {"image": SWEEP}, skip_bad=True)
    assert data.bad == (
        f"{path}: sample 2: input 'image' holds NaN or infinity",
        f"{path}: sample 4: its label 3 is not in 0..2",
    )
    assert data.labels_N.tolist() == [0, 1, 1]
    assert data.encoded["audio"].shape == (T, 3, 3)


def _without(key: str) -> dict[str, np.ndarray]:
    return {name: value for name, value in _arrays().items() if name != key}


def _with(key: str, value: object) -> dict[str, np.ndarray]:
    return _arrays() | {key: np.asarray(value)}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (_without("y"), "key 'y': it is missing; the file has"),
        (_without("x_audio"), "key 'x_audio': it is missing"),
        (_with("x_video", [1]), "key 'x_video': the network has no such input"),
        (_with("y", [0.5] * N), "key 'y': it is float64"),
        (_with("y", [[0]] * N), r"key 'y': it is int64 of shape \[5, 1\]"),
        (_with("y", [0, 1]), "input 'image': it has 5 samples, and y has 2"),
        (_with("y", np.zeros(0, int)), "integers .N. with N > 0"),
        (_with("x_audio", np.zeros((N, T, 4))), r"input 'audio': its shape is \[5, 4, 4\].*Give \[N, 4, 3\]"),
        (_with("x_audio", np.zeros((N, T + 1, 3))), r"input 'audio': its shape is \[5, 5, 3\]"),
        (_with("x_image", np.zeros((N, 1, 3, 2))), r"input 'image': encoded it is \[1, 3, 2\] a step"),
        (_with("x_image", np.full((N, 1, 2, 2), np.inf)), "sample 0: input 'image' holds NaN.* .5 of 5 are bad"),
        (_with("x_image", np.full((N, 2), "a")), "input 'image': it is <U1"),
        (_with("x_image", np.array([None] * N)), "it is corrupt, or holds Python objects"),
    ],
)
def test_files_that_do_not_fit_are_refused(arrays: dict[str, np.ndarray], said: str, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=said):
        load_file(_write(tmp_path, arrays), TWO, T, 3, {"image": SWEEP})


def test_a_file_with_no_good_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no sample is left"):
        load_file(_write(tmp_path, _with("y", [9] * N)), TWO, T, 3, {"image": SWEEP}, skip_bad=True)


def test_corrupt_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = _write(tmp_path, _arrays()).read_bytes()
    cut, text, bare = tmp_path / "cut.npz", tmp_path / "text.npz", tmp_path / "bare.npy"
    cut.write_bytes(whole[: len(whole) // 2])
    text.write_text("hello")
    np.save(bare, np.zeros(3))
    for path in (cut, text):
        with pytest.raises(ArtefactError, match=f"{path.name}: it is corrupt"):
            load_file(path, TWO, T, 3)
    with pytest.raises(ArtefactError, match="one bare array"):
        load_file(bare, TWO, T, 3)
    with pytest.raises(ArtefactError, match="there is no such file"):
        load_file(tmp_path / "none.npz", TWO, T, 3)


def test_an_encoding_for_no_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="encoding of 'video'"):
        load_file(_write(tmp_path, _arrays()), TWO, T, 3, {"video": SWEEP})
