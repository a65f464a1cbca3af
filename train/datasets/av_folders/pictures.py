"""Pictures of clips: read, cropped, normalised with ImageNet's statistics.

Shape suffixes: T frames, C colours, H and W pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spikeport.errors import ArtefactError

IMAGENET_MEAN_C = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD_C = np.array([0.229, 0.224, 0.225], np.float32)
SUFFIXES = (".jpg", ".jpeg", ".png")
CROP_SHARE = (0.08, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
_TRIES = 10
_FIX = "Get it again, or skip it with --skip-bad"
Box = tuple[float, float, float, float]


def read_picture(path: Path) -> Image.Image:
    """Return the picture in RGB.

    Raises:
        ArtefactError: it is missing, truncated, or no picture.
    """
    try:
        with Image.open(path) as opened:
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise ArtefactError(str(path), f"it cannot be read as a picture ({error})", _FIX) from None


def read_frames(paths: Sequence[Path]) -> list[Image.Image]:
    """Return the pictures of one clip.

    Raises:
        ArtefactError: one is unreadable, or they differ in size.
    """
    frames = [read_picture(path) for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        if frame.size != frames[0].size:
            reason = f"it has {frame.size} pixels, and the clip's first frame {frames[0].size}"
            raise ArtefactError(str(path), reason, _FIX)
    return frames


def random_crop(frames: Sequence[Image.Image], size: int, draw: np.random.Generator) -> NDArray[np.float32]:
    """Return x_TCHW: one random box of all frames, resized to `size`, and mirrored half of the time.

    The box covers 8 % to 100 % of the area, its sides stand 3:4 to 4:3 (Inception's crop, as torchvision draws it).
    """
    box = random_box(frames[0].size, draw)
    x_TCHW = np.stack([_normalised(frame.resize((size, size), Image.Resampling.BILINEAR, box)) for frame in frames])
    return x_TCHW[..., ::-1].copy() if draw.random() < 0.5 else x_TCHW


def random_box(pixels: tuple[int, int], draw: np.random.Generator) -> Box:
    """Return (left, top, right, bottom) of a random box inside a picture of `pixels` (width, height)."""
    width, height = pixels
    for _ in range(_TRIES):
        area = width * height * draw.uniform(*CROP_SHARE)
        ratio = np.exp(draw.uniform(*np.log(CROP_RATIO)))
        wide, high = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            left, top = draw.integers(width - wide + 1), draw.integers(height - high + 1)
            return float(left), float(top), float(left + wide), float(top + high)
    side = min(width, height)
    return centre_box(pixels, side)


def centre_crop(frames: Sequence[Image.Image], size: int, resize: int) -> NDArray[np.float32]:
    """Return x_TCHW: the shorter side resized to `resize`, and of that the central `size` x `size`."""
    scale = resize / min(frames[0].size)
    box = centre_box(frames[0].size, size / scale)
    return np.stack([_normalised(frame.resize((size, size), Image.Resampling.BILINEAR, box)) for frame in frames])


def centre_box(pixels: tuple[int, int], side: float) -> Box:
    """Return the central square of a picture of `pixels` (width, height)."""
    left, top = (pixels[0] - side) / 2, (pixels[1] - side) / 2
    return left, top, left + side, top + side


def _normalised(picture: Image.Image) -> NDArray[np.float32]:
    x_HWC = np.asarray(picture, np.float32) / np.float32(255)
    normal_HWC: NDArray[np.float32] = (x_HWC - IMAGENET_MEAN_C) / IMAGENET_STD_C
    return normal_HWC.transpose(2, 0, 1)
