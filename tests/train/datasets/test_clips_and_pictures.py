"""The front ends by hand and against scipy; crops; what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from av_files import write_picture, write_sound
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spikeport.errors import ArtefactError, UsageError
from spikeport.train.datasets.av_folders.clips import Rates, read_sound
from spikeport.train.datasets.av_folders.pictures import (
    IMAGENET_MEAN_C,
    IMAGENET_STD_C,
    centre_crop,
    random_box,
    random_crop,
    read_frames,
    read_picture,
)
from spikeport.train.datasets.av_folders.spectra import (
    Mel,
    Stft,
    check,
    resized,
    spectrogram,
    stft_magnitude,
    windowed_spectrograms,
)


def test_the_transform_is_scipys() -> None:
    sound_S = np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    hann = scipy.signal.get_window("hann", 512)
    wanted = scipy.signal.ShortTimeFFT(hann, 353, 1.0, fft_mode="onesided", scale_to=None)
    ours = stft_magnitude(sound_S, 512, 353)
    assert ours.shape == (257, 1 + 3000 // 353)
    first = wanted.p_range(len(sound_S))[0]
    theirs = np.abs(wanted.stft(sound_S))[:, -first : -first + ours.shape[1]]
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_a_tone_by_hand() -> None:
    # 8 samples a frame, a cosine of amplitude 1 in bin 2: |X| = sum(hann) / 2 = 2 there, half of it beside.
    tone_S = np.cos(2 * np.pi * 2 * np.arange(64) / 8).astype(np.float32)
    np.testing.assert_allclose(stft_magnitude(tone_S, 8, 4)[:, 4], [0, 1, 2, 1, 0], atol=1e-5)
    front = Stft(rate_hz=8000, n_fft=8, hop=4)
    picture = spectrogram(tone_S, front, 5)
    assert picture.shape == (1, 5, 5)
    # Five frequencies stay five; the middle column lies between the frames around the sound's middle.
    np.testing.assert_allclose(picture[0, 1:4, 2], np.log([1, 2, 1]), atol=1e-4)
    assert picture[0, 0, 2] < -10


def test_mel_levels_are_decibels() -> None:
    sound_S = np.sin(2 * np.pi * 1000 * np.arange(22_050) / 22_050).astype(np.float32)
    front = Mel()
    loud, quiet = (spectrogram(level * sound_S, front, 64) for level in (1.0, 0.1))
    np.testing.assert_allclose((loud - quiet)[0, loud[0, :, 32].argmax(), 20:40], 20, atol=1e-3)
    # mel(1000 Hz) = 1000 of mel(11025 Hz) = 3176, in 65 steps: band 19 (from 0) has its centre nearest to it.
    assert loud[0, :, 32].argmax() == 19
    with pytest.raises(UsageError, match="200 mel channels"):
        check(Mel(mels=200, n_fft=256))


def test_windows_are_stretches_of_the_sound() -> None:
    front = Stft(rate_hz=8000, n_fft=64, hop=16)
    quiet_then_tone = np.concatenate([np.zeros(800), np.sin(np.arange(800))]).astype(np.float32)
    found = windowed_spectrograms(quiet_then_tone, front, 16, 2)
    assert found.shape == (2, 1, 16, 16)
    np.testing.assert_allclose(found[0], np.log(1e-7), rtol=1e-6)
    np.testing.assert_array_equal(found[1], spectrogram(quiet_then_tone[800:], front, 16))


def test_resizing_is_bilinear_between_pixel_centres() -> None:
    found = resized(np.array([[[0.0, 4.0]]], np.float32), 4)
    np.testing.assert_allclose(found[0, 0], [0, 1, 3, 4])


SIGN_S = np.tile([1.0, -1.0], 50)


def test_sounds_are_mixed_down_and_resampled(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", 1, rate_hz=44_100, seconds=0.2, channels=2)
    sound_S = read_sound(path, 22_050)
    assert abs(len(sound_S) - 4410) <= 1
    spectrum = np.abs(np.fft.rfft(sound_S))
    assert np.fft.rfftfreq(len(sound_S), 1 / 22_050)[spectrum.argmax()] == pytest.approx(1000, abs=5)
    soundfile.write(path, np.outer(SIGN_S, [0.5, -0.1]), 22_050, subtype="FLOAT")
    np.testing.assert_allclose(read_sound(path, 22_050), 0.2 * SIGN_S, atol=1e-6)
    soundfile.write(path, 3.0 * SIGN_S, 22_050, subtype="FLOAT")
    assert np.array_equal(read_sound(path, 22_050), SIGN_S)


REASONS = {
    "missing": "cannot be read as sound",
    "garbage": "cannot be read as sound",
    "silent": "silent",
    "constant": "silent",
    "empty": "no sample",
    "nan": "NaN",
    "slow": "sample rate is 100 Hz",
    "cut": "truncated",
}


def bad_sounds(folder: Path) -> dict[str, Path]:
    files = {name: folder / f"{name}.wav" for name in REASONS}
    files["garbage"].write_bytes(b"RIFF no sound at all")
    soundfile.write(files["silent"], 9e-5 * np.sin(np.arange(1000)), 16_000)
    soundfile.write(files["constant"], np.full(1000, 0.5), 16_000)
    soundfile.write(files["empty"], np.zeros(0), 16_000)
    soundfile.write(files["nan"], np.array([0.1, np.nan]), 16_000, subtype="FLOAT")
    soundfile.write(files["slow"], np.ones(100), 100)
    content = write_sound(files["cut"], 1).read_bytes()
    files["cut"].write_bytes(content[:-1000])
    return files


@pytest.mark.parametrize(("name", "reason"), REASONS.items())
def test_a_bad_sound_is_named(tmp_path: Path, name: str, reason: str) -> None:
    path = bad_sounds(tmp_path)[name]
    with pytest.raises(ArtefactError, match=f"{path}.*{reason}.*--skip-bad"):
        read_sound(path, 16_000)


def test_a_rate_that_is_not_expected_is_refused_and_not_resampled(tmp_path: Path) -> None:
    only, least = Rates(16_000, 16_000, "all have it", "Get it"), Rates(16_000, 48_000, "some have it", "Get it")
    for rate_hz, rates in ((8000, only), (22_050, only), (1000, least), (96_000, least)):
        path = write_sound(tmp_path / "a.wav", 0, rate_hz)
        said = f"{rates.least_hz} Hz" if rates is only else "16000 to 48000 Hz"
        with pytest.raises(ArtefactError, match=rf"a\.wav: its sample rate is {rate_hz} Hz, and {said} are.*Get it"):
            read_sound(path, 16_000, rates)
    assert len(read_sound(write_sound(tmp_path / "a.wav", 0, 16_000), 16_000, only)) == 1600
    assert len(read_sound(write_sound(tmp_path / "a.wav", 0, 48_000), 16_000, least)) == 1600


def test_a_length_left_open_is_no_cut(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", 1)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 4 + content[8:])
    assert len(read_sound(path, 16_000)) == 1600


def test_bad_pictures_are_named(tmp_path: Path) -> None:
    good = write_picture(tmp_path / "a.jpg", 1, (40, 40))
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(good.read_bytes()[:-200])
    text = tmp_path / "text.png"
    text.write_text("no picture")
    for path in (cut, text, tmp_path / "gone.jpg"):
        with pytest.raises(ArtefactError, match=f"{path.name}.*cannot be read as a picture"):
            read_picture(path)
    with pytest.raises(ArtefactError, match=r"b\.jpg: it has \(30, 40\) pixels"):
        read_frames([good, write_picture(tmp_path / "b.jpg", 1, (30, 40))])


def test_the_centre_of_a_resized_picture() -> None:
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[10:30, 30:50] = 255
    frame = Image.fromarray(pixels)
    # The shorter side 40 becomes 8, of which the middle 4 are the white 20 x 20.
    x_TCHW = centre_crop([frame], 4, 8)
    assert x_TCHW.shape == (1, 3, 4, 4)
    white_C = (1 - IMAGENET_MEAN_C) / IMAGENET_STD_C
    np.testing.assert_allclose(x_TCHW[0, :, 1:3, 1:3], np.broadcast_to(white_C[:, None, None], (3, 2, 2)), rtol=1e-5)
    whole = centre_crop([frame], 40, 40)[0, 0]
    np.testing.assert_allclose(whole > 0, pixels[:, 20:60, 0] > 0)


@given(width=st.integers(1, 500), height=st.integers(1, 500), seed=st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_random_boxes_lie_inside(width: int, height: int, seed: int) -> None:
    left, top, right, bottom = random_box((width, height), np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_a_clip_is_cropped_alike_in_all_its_frames() -> None:
    ramp = Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(64, 64, 3))
    draws = [random_crop([ramp, ramp], 8, np.random.default_rng(seed)) for seed in range(6)]
    for x_TCHW in draws:
        np.testing.assert_array_equal(x_TCHW[0], x_TCHW[1])
    assert len({x_TCHW.tobytes() for x_TCHW in draws}) == 6
    left_dark = Image.fromarray(np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2))
    rising = [np.diff(random_crop([left_dark], 8, np.random.default_rng(s))[0, 0, 0]).mean() > 0 for s in range(40)]
    assert 8 < sum(rising) < 32  # mirrored half of the time
