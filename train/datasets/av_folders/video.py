"""Frames of a video, by PyAV, which is an optional extra: nothing else needs it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from spikeport.errors import ArtefactError, UnavailableError

_FIX = "Get it again, or skip it with --skip-bad"


def decoded_frames(path: Path) -> list[Image.Image]:
    """Return all frames of a video file, in order.

    Raises:
        ArtefactError: it is missing, unreadable or truncated, or holds fewer than two frames.
        UnavailableError: PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        reason = "it is not installed, and videos are decoded with it"
        raise UnavailableError("package 'av'", reason, "pip install 'spikeport[video]'") from None
    try:
        with av.open(str(path)) as container:
            frames = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    except (av.FFmpegError, OSError, IndexError, ValueError) as error:
        raise ArtefactError(str(path), f"it cannot be decoded ({error})", _FIX) from None
    if len(frames) < 2:
        raise ArtefactError(str(path), f"it holds {len(frames)} frame: it is no video", _FIX)
    return frames
