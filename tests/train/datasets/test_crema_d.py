"""CREMA-D: parts, classes, frames, what is refused; and the layout out of the distributed clips."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from av_files import write_pairs, write_picture, write_sound
from PIL import Image

from spikeport.errors import ArtefactError, UnavailableError, UsageError
from spikeport.train.checks import validated
from spikeport.train.datasets import DATASETS
from spikeport.train.datasets.av_folders.crema_d import EMOTIONS
from spikeport.train.datasets.av_folders.crema_d_prepare import Prepared, main, prepare
from spikeport.train.datasets.av_folders.media import MediaFolder
from spikeport.train.datasets.av_folders.video import decoded_frames

SMALL = {"size": 8, "audio": {"kind": "stft", "n_fft": 64, "hop": 40}}


def opened(folder: Path, noise: float = 0.0, seed: int = 0, **params: Any) -> MediaFolder:
    kind = DATASETS.get("crema-d")
    checked = validated(kind.params, SMALL | {"folder": str(folder)} | params, "data.params")
    data = kind.open(checked, {"visual": noise}, 0, seed)
    assert isinstance(data, MediaFolder)
    return data


def write_layout(root: Path, actors: Sequence[int] = range(1001, 1011), test: int = 2) -> Path:
    """One clip of each actor and emotion; the first `test` of each emotion lie in the test folder."""
    for part, some in (("test", actors[:test]), ("train", actors[test:])):
        names = [[f"{actor}_DFA_{emotion}_XX" for actor in some] for emotion in EMOTIONS]
        write_pairs(root / part / "visual", root / part / "audio", EMOTIONS, names)
    return root


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_layout(tmp_path_factory.mktemp("crema"))


def names(data: MediaFolder) -> dict[str, set[str]]:
    return {part: {sample.name for sample in some} for part, some in data.parts.items()}


def test_the_official_parts(layout: Path) -> None:
    data = opened(layout)
    parts = names(data)
    assert {part: len(some) for part, some in parts.items()} == {"train": 42, "val": 6, "test": 12}
    assert len(set.union(*parts.values())) == 60
    assert {name[:4] for name in parts["test"]} == {"1001", "1002"}
    split = data.split("test")
    kind = DATASETS.get("crema-d")
    shapes = kind.shapes(validated(kind.params, SMALL | {"folder": "x"}, ""))
    assert (
        {name: x.shape[1:] for name, x in split.inputs.items()} == shapes == {"visual": (3, 8, 8), "audio": (1, 8, 8)}
    )
    assert all(x.dtype == np.float32 for x in split.inputs.values())
    assert np.bincount(split.labels).tolist() == [2] * 6
    assert len(set(split.labels[:6])) > 1  # in no order of classes
    # Brightness and pitch show the class that the fixture gave them: the pairs and labels hold.
    assert np.corrcoef(split.inputs["visual"].mean((1, 2, 3)), split.labels)[0, 1] > 0.99
    pitch = split.inputs["audio"].mean(3)[:, 0].argmax(1)
    assert np.corrcoef(pitch, split.labels)[0, 1] > 0.9
    again = opened(layout).split("test")
    assert all(np.array_equal(again.inputs[name], x) for name, x in split.inputs.items())


def test_speakers_stand_on_one_side(layout: Path) -> None:
    parts = names(opened(layout, split="speakers", val_share=0.25))
    actors = {part: {name[:4] for name in some} for part, some in parts.items()}
    assert {part: len(some) for part, some in actors.items()} == {"train": 6, "val": 2, "test": 2}
    assert len(set.union(*actors.values())) == 10
    assert len(set.union(*parts.values())) == 60


def test_a_list_names_the_test_part(layout: Path, tmp_path: Path) -> None:
    file = tmp_path / "test.csv"
    file.write_text("clip,emotion\n1005_DFA_ANG_XX,ANG\nAudioWAV/1005_DFA_SAD_XX.wav,SAD\n")
    parts = names(opened(layout, test_list=str(file)))
    assert parts["test"] == {"1005_DFA_ANG_XX", "1005_DFA_SAD_XX"}
    assert len(parts["train"] | parts["val"]) == 58
    file.write_text("1005_DFA_ANG_XX\n1099_DFA_HAP_XX\n")
    with pytest.raises(ArtefactError, match=r"1099_DFA_HAP_XX.*the test list names it"):
        opened(layout, test_list=str(file))
    assert opened(layout, test_list=str(file), skip_bad=True).split("test").skipped == 1
    for text, reason in (("clip\n\nnobody\n", "line 2 names no clip: 'nobody'"), ("", "names no clip")):
        file.write_text(text)
        with pytest.raises(ArtefactError, match=reason):
            opened(layout, test_list=str(file))
    with pytest.raises(ArtefactError, match="cannot be read"):
        opened(layout, test_list=str(tmp_path / "gone.csv"))


def test_training_crops_change_by_epoch_and_seed_alone(tmp_path: Path) -> None:
    write_layout(tmp_path, range(1001, 1005), 1)
    ramp = np.arange(60 * 60 * 3, dtype=np.uint32).astype(np.uint8).reshape(60, 60, 3)
    for path in tmp_path.rglob("*.jpg"):
        Image.fromarray(ramp).save(path)
    data = opened(tmp_path, resize=60)
    first = [data.split("train", epoch).inputs["visual"] for epoch in (0, 1, 0)]
    assert np.array_equal(first[0], first[2])
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(opened(tmp_path, seed=1).split("train").inputs["visual"], first[0])
    assert np.array_equal(data.split("val", 0).inputs["visual"], data.split("val", 1).inputs["visual"])
    still = opened(tmp_path, augment=False)
    assert np.array_equal(still.split("train", 0).inputs["visual"], still.split("train", 1).inputs["visual"])
    assert len(opened(tmp_path, per_class=1).split("train")) == 6


def test_frames_are_pictures_of_the_clip_and_windows_of_its_sound(tmp_path: Path) -> None:
    write_layout(tmp_path, range(1001, 1005), 1)
    for path in list(tmp_path.rglob("*.jpg")):
        path.unlink()
        for k in range(5):
            write_picture(path.with_suffix("") / f"{k:03d}.jpg", 2 * k)
    split = opened(tmp_path, frames=3).split("test")
    assert split.inputs["visual"].shape == (6, 3, 3, 8, 8)
    assert split.inputs["audio"].shape == (6, 3, 1, 8, 8)
    # Pictures 0, 2 and 4 of five.
    bright = split.inputs["visual"].mean((2, 3, 4))
    np.testing.assert_allclose(bright[:, 1] - bright[:, 0], bright[:, 2] - bright[:, 1], rtol=0.02)
    np.testing.assert_allclose(opened(tmp_path).split("test").inputs["visual"].mean((1, 2, 3)), bright[:, 1], rtol=1e-5)
    with pytest.raises(ArtefactError, match="the clip has 5 frames, and 6 are wanted"):
        opened(tmp_path, frames=6).split("test")


def test_a_clip_of_one_frame_is_no_sequence(layout: Path) -> None:
    with pytest.raises(ArtefactError, match=r"the clip has 1 frame, and 2 are wanted.*--skip-bad"):
        opened(layout, frames=2).split("test")
    with pytest.raises(ArtefactError, match="none of the 12 clips of part 'test' is left"):
        opened(layout, frames=2, skip_bad=True).split("test")


def spoil(root: Path, how: str) -> str:
    """Do one thing to one clip of the test part; return what the message must say."""
    sound = root / "test" / "audio" / "FEA" / "1001_DFA_FEA_XX.wav"
    picture = root / "test" / "visual" / "FEA" / "1001_DFA_FEA_XX.jpg"
    match how:
        case "no sound":
            sound.unlink()
            return "1001_DFA_FEA_XX.jpg.*no partner: there is no sound"
        case "no picture":
            picture.unlink()
            return "1001_DFA_FEA_XX.wav.*no partner: there is no picture"
        case "silent":
            soundfile.write(sound, np.zeros(1000), 16_000)
            return "1001_DFA_FEA_XX.wav.*silent"
        case "broken sound":
            sound.write_bytes(sound.read_bytes()[:20])
            return "1001_DFA_FEA_XX.wav.*cannot be read as sound"
        case "broken picture":
            picture.write_bytes(b"")
            return "1001_DFA_FEA_XX.jpg.*cannot be read as a picture"
        case "other class":
            for path in (sound, picture):
                path.rename(path.with_name(path.name.replace("DFA_FEA", "TSI_HAP")))
            return "1001_TSI_HAP_XX.wav.*its name says HAP, and it lies in FEA"
        case "no class":
            for path in (sound, picture):
                (path.parent.parent / "BOR").mkdir(exist_ok=True)
                path.rename(path.parent.parent / "BOR" / path.name.replace("FEA", "BOR"))
            return "1001_DFA_BOR_XX.wav.*'BOR' is none of ANG"
    for path in (sound, picture):
        path.rename(path.with_name("someone" + path.suffix))
    return "someone.wav.*its name is not <actor>"


HOWS = ["no sound", "no picture", "silent", "broken sound", "broken picture", "other class", "no class", "no name"]


@pytest.mark.parametrize("how", HOWS)
def test_a_bad_clip_is_named_or_skipped(tmp_path: Path, how: str) -> None:
    write_layout(tmp_path, range(1001, 1005), 2)
    reason = spoil(tmp_path, how)
    with pytest.raises(ArtefactError, match=f"{reason}.*--skip-bad"):
        opened(tmp_path).split("test")
    left = opened(tmp_path, skip_bad=True).split("test")
    assert (len(left), left.skipped) == (11, 1)
    assert np.bincount(left.labels).tolist() == [2, 2, 1, 2, 2, 2]


@pytest.mark.parametrize("rate_hz", [1000, 8000, 22_050])
def test_a_rate_that_is_not_crema_ds_is_bad_unless_all_clips_have_it(tmp_path: Path, rate_hz: int) -> None:
    write_layout(tmp_path, range(1001, 1005), 2)
    sounds = sorted((tmp_path / "test").rglob("*.wav"))
    for sound in sounds[:2]:
        write_sound(sound, 0, rate_hz)
    reason = rf"sample rate is {rate_hz} Hz, and 16000 Hz are expected.*2 of 12 are bad\), also .*\.wav\. .*clip_hz"
    with pytest.raises(ArtefactError, match=reason):
        opened(tmp_path).split("test")
    left = opened(tmp_path, skip_bad=True).split("test")
    assert (len(left), left.skipped) == (10, 2)
    assert {text.partition(": ")[0] for text in left.bad} == {str(path) for path in sounds[:2]}
    if rate_hz >= 4000:
        assert opened(tmp_path, skip_bad=True, clip_hz=rate_hz).split("test").skipped == 10


def test_all_bad_clips_of_a_part_are_counted_and_the_first_named(tmp_path: Path) -> None:
    write_layout(tmp_path, range(1001, 1005), 2)
    for sound in (tmp_path / "test").rglob("*.wav"):
        soundfile.write(sound, np.zeros(1000), 16_000)
    with pytest.raises(ArtefactError, match=r"silent.*\(12 of 12 are bad\), also (\S+\.wav,? ){9}and 2 more\."):
        opened(tmp_path).split("test")


def test_a_distributed_clip_of_another_rate_is_not_prepared(tmp_path: Path) -> None:
    source = write_distributed(tmp_path / "in")
    write_sound(source / "AudioWAV" / "1001_DFA_SAD_XX.wav", 0, 8000)
    with pytest.raises(ArtefactError, match=r"1001_DFA_SAD_XX\.wav: its sample rate is 8000 Hz.*16000"):
        prepare(source, tmp_path / "out", decode=decode)
    (bad,) = prepare(source, tmp_path / "out", skip_bad=True, decode=decode).bad
    assert "1001_DFA_SAD_XX.wav: its sample rate is 8000 Hz" in bad


def test_a_clip_on_both_sides_is_refused(tmp_path: Path) -> None:
    write_layout(tmp_path, range(1001, 1005), 2)
    write_sound(tmp_path / "train" / "audio" / "ANG" / "1001_DFA_ANG_XX.wav", 0)
    write_picture(tmp_path / "train" / "visual" / "ANG" / "1001_DFA_ANG_XX.jpg", 0)
    with pytest.raises(ArtefactError, match=r"the clip is also .*train"):
        opened(tmp_path, skip_bad=True)
    write_picture(tmp_path / "test" / "visual" / "ANG" / "1002_DFA_ANG_XX.png", 0)
    with pytest.raises(ArtefactError, match="the same clip"):
        opened(tmp_path, skip_bad=True)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"no such folder.*CheyneyComputerScience.*Open Database License"):
        opened(tmp_path / "gone")
    with pytest.raises(ArtefactError, match=r"visual: there is no such folder"):
        opened(tmp_path)
    (tmp_path / "AudioWAV").mkdir()
    with pytest.raises(ArtefactError, match=r"as distributed.*crema_d_prepare"):
        opened(tmp_path)
    write_layout(tmp_path / "one", [1001], 0)
    with pytest.raises(ArtefactError, match="1 actors: they are too few"):
        opened(tmp_path / "one", split="speakers", skip_bad=True)


def test_settings_are_checked(layout: Path) -> None:
    with pytest.raises(UsageError, match=r"data.noise"):
        opened(layout, noise=0.5)
    with pytest.raises(UsageError, match="resize=4: it is smaller than size=8"):
        opened(layout, resize=4)
    with pytest.raises(UsageError, match=r"they fill \d+ GiB.*per_class"):
        opened(layout, size=10_000).split("test")
    with pytest.raises(UsageError, match="mel channels"):
        opened(layout, audio={"kind": "mel", "n_fft": 64, "mels": 64})
    with pytest.raises(UsageError, match=r"data\.params\.audio"):
        opened(layout, audio={"kind": "cepstrum"})


def write_distributed(root: Path, actors: Sequence[int] = (1001, 1002)) -> Path:
    (root / "VideoFlash").mkdir(parents=True)
    for actor in actors:
        for label, emotion in enumerate(EMOTIONS):
            name = f"{actor}_DFA_{emotion}_XX"
            write_sound(root / "AudioWAV" / f"{name}.wav", label)
            (root / "VideoFlash" / f"{name}.flv").write_bytes(b"video")
    return root


def decode(path: Path) -> list[Image.Image]:
    if path.read_bytes() != b"video":
        raise ArtefactError(str(path), "it cannot be decoded", "")
    return [Image.new("RGB", (16, 16), (20 * k, 0, 0)) for k in range(9)]


def test_distributed_clips_become_the_layout(tmp_path: Path) -> None:
    source = write_distributed(tmp_path / "in")
    test = frozenset(f"1002_DFA_{emotion}_XX" for emotion in EMOTIONS)
    done = prepare(source, tmp_path / "out", test=test, decode=decode)
    assert done == Prepared(6, 6, ())
    assert len(opened(tmp_path / "out").split("test")) == 6
    prepare(source, tmp_path / "again", test=test, decode=decode)
    prepare(source, tmp_path / "other", test=test, decode=decode, seed=1)
    read = {
        name: [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.jpg"))]
        for name in ("out", "again", "other")
    }
    assert read["out"] == read["again"] != read["other"]
    prepare(source, tmp_path / "many", frames=3, test=test, decode=decode)
    clip = tmp_path / "many" / "train" / "visual" / "SAD" / "1001_DFA_SAD_XX"
    red = [np.asarray(Image.open(path))[0, 0, 0] for path in sorted(clip.iterdir())]
    np.testing.assert_allclose(red, [0, 80, 160], atol=3)
    assert opened(tmp_path / "many", frames=3).split("test").inputs["visual"].shape[1] == 3
    with pytest.raises(UsageError, match="exists"):
        prepare(source, tmp_path / "out", decode=decode)


def test_bad_distributed_clips_are_named_or_skipped(tmp_path: Path) -> None:
    source = write_distributed(tmp_path / "in")
    (source / "VideoFlash" / "1001_DFA_ANG_XX.flv").write_bytes(b"")
    (source / "VideoFlash" / "1001_DFA_DIS_XX.flv").unlink()
    (source / "AudioWAV" / "1001_DFA_FEA_XX.wav").unlink()
    soundfile.write(source / "AudioWAV" / "1001_DFA_HAP_XX.wav", np.zeros(100), 16_000)
    write_sound(source / "AudioWAV" / "1001_DFA_BOR_XX.wav", 0)
    done = prepare(source, tmp_path / "out", skip_bad=True, decode=decode)
    assert (done.train, done.test, len(done.bad)) == (8, 0, 5)
    assert "1001_DFA_ANG_XX.flv: it cannot be decoded" in done.bad[0]
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == len(list((tmp_path / "out").rglob("*.wav"))) == 8
    with pytest.raises(ArtefactError, match=r"1001_DFA_ANG_XX.flv: it cannot be decoded"):
        prepare(source, tmp_path / "no", decode=decode)
    assert not (tmp_path / "no").exists()
    with pytest.raises(ArtefactError, match="it has 9 frames, and 10 are wanted"):
        prepare(write_distributed(tmp_path / "few"), tmp_path / "no", frames=10, decode=decode)
    with pytest.raises(ArtefactError, match="VideoFlash: there is no such folder"):
        prepare(tmp_path / "gone", tmp_path / "no", decode=decode)


def write_video(path: Path, count: int) -> Path:
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flv", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(count):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (20 * k,) * 3))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_flash_video_is_decoded(tmp_path: Path) -> None:
    frames = decoded_frames(write_video(tmp_path / "a.flv", 10))
    assert [frame.size for frame in frames] == [(64, 48)] * 10
    np.testing.assert_allclose([np.asarray(frame).mean() for frame in frames], 20 * np.arange(10), atol=6)
    with pytest.raises(ArtefactError, match=r"one.flv: it holds 1 frame: it is no video"):
        decoded_frames(write_video(tmp_path / "one.flv", 1))
    (tmp_path / "text.flv").write_text("no video")
    for name in ("text.flv", "gone.flv"):
        with pytest.raises(ArtefactError, match=f"{name}: it cannot be decoded"):
            decoded_frames(tmp_path / name)


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UnavailableError, match=r"package 'av'.*spikeport\[video\]"):
        decoded_frames(tmp_path / "a.flv")


def test_the_command_prepares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_distributed(tmp_path / "in", [1001])
    for path in (source / "VideoFlash").iterdir():
        write_video(path, 4)
    assert main([str(source), str(tmp_path / "out"), "--frames", "2"]) == 0
    assert capsys.readouterr().out == '{"train": 6, "test": 0, "skipped": 0}\n'
    assert main([str(source), str(tmp_path / "out")]) == 2
    assert "exists" in capsys.readouterr().err
