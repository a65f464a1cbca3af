"""UrbanSound8K-AV and CIFAR10-AV: parts without leaks, folds, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from av_files import write_pairs, write_picture, write_sound

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.checks import validated
from spikeport.train.datasets import DATASETS
from spikeport.train.datasets.av_folders.media import MediaFolder
from spikeport.train.datasets.av_folders.urbansound8k import CLASSES

SMALL = {"size": 8, "audio": {"kind": "mel", "rate_hz": 16_000, "n_fft": 256, "mels": 16, "hop": 64}}
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def opened(dataset: str, folder: Path, noise: float = 0.0, **params: Any) -> MediaFolder:
    kind = DATASETS.get(dataset)
    checked = validated(kind.params, SMALL | {"folder": str(folder)} | params, "data.params")
    data = kind.open(checked, {"audio": noise}, 0, 0)
    assert isinstance(data, MediaFolder)
    return data


def urban(folder: Path, **params: Any) -> MediaFolder:
    return opened("urbansound8k-av", folder, **params)


def write_urban(root: Path, recordings: int = 10, metadata: bool = True) -> Path:
    """Recordings of two slices each: recording 100 k + class, in fold k + 1."""
    names = [[f"{100 * k + c}-{c}-0-{s}" for k in range(recordings) for s in (0, 1)] for c in range(10)]
    write_pairs(root / "Dataset_v3_vision", root / "Dataset_v3_sound", CLASSES, names)
    if metadata:
        rows = [f"{n}.wav,{n.split('-')[0]},{int(n.split('-')[0]) // 100 % 10 + 1}" for some in names for n in some]
        (root / "UrbanSound8K.csv").write_text("\n".join(["slice_file_name,fsID,fold", *rows]))
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_urban(tmp_path_factory.mktemp("urban"))


def recordings(data: MediaFolder) -> dict[str, set[str]]:
    return {part: {sample.group for sample in some} for part, some in data.parts.items()}


def test_the_published_split_is_the_first_70_percent_of_each_class(folder: Path) -> None:
    data = urban(folder)
    for label in range(10):
        names = {part: sorted(s.name for s in some if s.label == label) for part, some in data.parts.items()}
        everything = sorted(f"{100 * k + label}-{label}-0-{s}" for k in range(10) for s in (0, 1))
        assert sorted(names["train"] + names["val"]) == everything[:14]
        assert names["test"] == everything[14:]
    groups = recordings(data)
    assert groups["val"]
    assert not groups["val"] & groups["train"]
    split = data.split("test")
    assert np.bincount(split.labels).tolist() == [6] * 10
    assert np.corrcoef(split.inputs["visual"].mean((1, 2, 3)), split.labels)[0, 1] > 0.99


@pytest.mark.parametrize("fold", [1, 10])
def test_folds_stay_whole(folder: Path, fold: int) -> None:
    groups = recordings(urban(folder, split="folds", fold=fold))
    folds = {part: {int(group) // 100 + 1 for group in some} for part, some in groups.items()}
    assert folds["test"] == {fold}
    assert folds["val"] == {fold % 10 + 1}
    assert len(folds["train"]) == 8
    assert not folds["train"] & (folds["test"] | folds["val"])


def test_a_fold_is_read_from_a_folder_without_metadata(tmp_path: Path) -> None:
    write_urban(tmp_path, metadata=False)
    with pytest.raises(ArtefactError, match=r"no folder above it is named fold<k>.*\(200 of 200 are bad\)"):
        urban(tmp_path, split="folds")
    for path in list((tmp_path / "Dataset_v3_sound").rglob("*.wav")):
        place = path.parent / f"fold{int(path.name.split('-')[0]) // 100 + 1}"
        place.mkdir(exist_ok=True)
        path.rename(place / path.name)
    assert {int(group) // 100 for group in recordings(urban(tmp_path, split="folds", fold=3))["test"]} == {2}


def test_metadata_are_checked(tmp_path: Path) -> None:
    write_urban(tmp_path, 1, metadata=False)
    file = tmp_path / "metadata" / "UrbanSound8K.csv"
    file.parent.mkdir()
    for text, reason in (
        ("slice_file_name\n0-0-0-0.wav\n", "KeyError: 'fold'"),
        ("slice_file_name,fold\n0-0-0-0.wav,11\n", "0-0-0-0 is in fold 11, and folds are 1..10"),
        ("slice_file_name,fold\n0-0-0-0.wav,one\n", "cannot be read"),
    ):
        file.write_text(text)
        with pytest.raises(ArtefactError, match=reason):
            urban(tmp_path, split="folds")
    file.write_text("slice_file_name,fold\n0-0-0-0.wav,1\n")
    with pytest.raises(ArtefactError, match=r"the metadata say no fold for it \(19 of 20 are bad"):
        urban(tmp_path, split="folds")
    assert urban(tmp_path, split="folds", skip_bad=True).split("test").skipped == 19
    with pytest.raises(ArtefactError, match=r"gone.csv: it cannot be read"):
        urban(tmp_path, split="folds", metadata=str(tmp_path / "gone.csv"))


def test_a_still_stands_through_all_frames(folder: Path) -> None:
    split = urban(folder, frames=2).split("test")
    visual = split.inputs["visual"]
    assert visual.shape == (60, 2, 3, 8, 8)
    assert np.array_equal(visual[:, 0], visual[:, 1])
    assert split.inputs["audio"].shape == (60, 2, 1, 8, 8)


def spoil(root: Path, how: str) -> str:
    """Do one thing to the last clip of a class, which is the test part's; return what the message must say."""
    sound = root / "Dataset_v3_sound" / "siren" / "8-8-0-1.wav"
    picture = root / "Dataset_v3_vision" / "siren" / "8-8-0-1.jpg"
    match how:
        case "no partner":
            sound.unlink()
            return "8-8-0-1.jpg.*no partner"
        case "silent":
            soundfile.write(sound, np.zeros(1000), 44_100)
            return "8-8-0-1.wav.*silent"
        case "rate":
            soundfile.write(sound, np.ones(1000), 500)
            return "8-8-0-1.wav.*sample rate is 500 Hz"
        case "unreadable":
            picture.write_bytes(picture.read_bytes()[:100])
            return "8-8-0-1.jpg.*cannot be read"
        case "label":
            for path in (sound, picture):
                path.rename(path.with_name("8-9-0-1" + path.suffix))
            return "8-9-0-1.wav.*its name says class 9, and it lies in siren"
        case "class":
            for path in (sound, picture):
                place = path.parent.parent / "whistle"
                place.mkdir()
                path.rename(place / path.name)
            return "8-8-0-1.wav.*'whistle' is none of air_conditioner"
    for path in (sound, picture):
        path.rename(path.with_name("zzz" + path.suffix))
    return "zzz.wav.*its name is not <recording>"


@pytest.mark.parametrize("how", ["no partner", "silent", "rate", "unreadable", "label", "class", "name"])
def test_a_bad_clip_is_named_or_skipped(tmp_path: Path, how: str) -> None:
    reason = spoil(write_urban(tmp_path, 5), how)
    with pytest.raises(ArtefactError, match=f"{reason}.*--skip-bad"):
        urban(tmp_path).split("test")
    left = urban(tmp_path, skip_bad=True).split("test")
    assert left.skipped == 1
    # In a class of its own, the clip leaves 9 sirens, of which 6 train.
    assert np.bincount(left.labels).tolist() == [3] * 8 + [3 if how == "class" else 2, 3]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"Dataset_v3_vision: there is no such folder.*kaggle.*CC BY-NC"):
        urban(tmp_path)
    with pytest.raises(ArtefactError, match=r"vision: there is no such folder.*kaggle"):
        opened("cifar10-av", tmp_path)
    (tmp_path / "vision").mkdir()
    (tmp_path / "audio").mkdir()
    with pytest.raises(ArtefactError, match="pictures of 0 classes, and 10 are expected"):
        opened("cifar10-av", tmp_path)
    for name in ("cifar10-av", "urbansound8k-av"):
        with pytest.raises(UsageError, match=r"data\.noise.*" + name):
            opened(name, tmp_path, noise=1.0)


def test_a_rate_below_what_the_data_or_the_front_end_have_is_bad(tmp_path: Path) -> None:
    write_sound(write_urban(tmp_path / "u", 5) / "Dataset_v3_sound" / "siren" / "8-8-0-1.wav", 8, 8000)
    assert urban(tmp_path / "u").split("test").skipped == 0
    write_sound(tmp_path / "u" / "Dataset_v3_sound" / "siren" / "8-8-0-1.wav", 8, 4000)
    with pytest.raises(ArtefactError, match=r"8-8-0-1\.wav: its sample rate is 4000 Hz, and 8000 to 192000 Hz"):
        urban(tmp_path / "u").split("test")
    names = [[f"x{i:02d}" for i in range(10)]] * 10
    write_pairs(tmp_path / "c" / "vision", tmp_path / "c" / "audio", CIFAR, names)
    front = {"kind": "mel", "n_fft": 256, "mels": 16, "rate_hz": 22_050}
    with pytest.raises(ArtefactError, match=r"16000 Hz, and 22050 .* hears up to 11025 Hz.*lower data\.params\.audio"):
        opened("cifar10-av", tmp_path / "c", audio=front).split("test")


def test_cifar10_av_pairs_by_name_and_splits_70_30(tmp_path: Path) -> None:
    write_pairs(tmp_path / "vision", tmp_path / "audio", CIFAR, [[f"x{i:02d}" for i in range(10)]] * 10)
    data = opened("cifar10-av", tmp_path, val_share=0.2)
    names = {part: [sample.name for sample in some if sample.label == 3] for part, some in data.parts.items()}
    assert sorted(names["train"] + names["val"]) == [f"x{i:02d}" for i in range(7)]
    assert sorted(names["test"]) == ["x07", "x08", "x09"]
    assert {part: len(some) for part, some in data.parts.items()} == {"train": 60, "val": 10, "test": 30}
    split = data.split("test")
    assert np.corrcoef(split.inputs["visual"].mean((1, 2, 3)), split.labels)[0, 1] > 0.99
    pitch = split.inputs["audio"].mean(3)[:, 0].argmax(1)
    assert np.corrcoef(pitch, split.labels)[0, 1] > 0.9
    kind = DATASETS.get("cifar10-av")
    assert kind.shapes(validated(kind.params, {"folder": "x"}, "")) == {"visual": (3, 64, 64), "audio": (1, 64, 64)}
    write_sound(tmp_path / "audio" / "cat" / "lonely.wav", 3)
    with pytest.raises(ArtefactError, match=r"lonely.wav: it has no partner: there is no picture"):
        opened("cifar10-av", tmp_path)


def test_an_eleventh_folder_is_bad_where_the_ten_classes_are_clear(tmp_path: Path) -> None:
    write_pairs(tmp_path / "vision", tmp_path / "audio", CIFAR, [[f"x{i:02d}" for i in range(10)]] * 10)
    write_picture(tmp_path / "vision" / "ant" / "a.jpg", 3)
    write_picture(tmp_path / "vision" / "zebra" / "a.jpg", 3)
    with pytest.raises(
        ArtefactError, match=r"ant/a.jpg: its class 'ant' is none of airplane.*102 are bad.*zebra/a.jpg"
    ):
        opened("cifar10-av", tmp_path)
    data = opened("cifar10-av", tmp_path, skip_bad=True)
    splits = [data.split(part) for part in ("train", "val", "test")]
    assert sum(split.skipped for split in splits) == 2
    assert sorted(np.concatenate([split.labels for split in splits]).tolist()) == sorted(list(range(10)) * 10)
    write_sound(tmp_path / "audio" / "ant" / "a.wav", 3)
    for skip_bad in (False, True):
        with pytest.raises(
            ArtefactError, match="pictures of 12 classes, and 10 are expected: airplane, ant, automobile"
        ):
            opened("cifar10-av", tmp_path, skip_bad=skip_bad)


def test_all_faults_seen_in_the_listing_are_named_at_once(tmp_path: Path) -> None:
    root = write_urban(tmp_path, 5)
    spoil(root, "no partner")
    names = ["lonely", *(f"{n}-8-0-0" for n in range(5000, 5010))]
    for name in names:
        write_sound(root / "Dataset_v3_sound" / "siren" / f"{name}.wav", 8)
    several = r"\(12 of 111 are bad\), also (\S+\.(wav|jpg),? ){9}and 2 more; what the files hold was not read yet\."
    with pytest.raises(ArtefactError, match=several):
        urban(root)
    for name in names:
        (root / "Dataset_v3_sound" / "siren" / f"{name}.wav").unlink()
    with pytest.raises(ArtefactError, match=r"no partner.*\(1 of 100 is bad\); what"):
        urban(root)
