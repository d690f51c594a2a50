"""Video files: reading frames at given times, and writing clips; with PyAV, whose wheels bring
ffmpeg with them.

What a file says about its length can't be relied on (webm and mkv files say 0 frames), and a jump
to a time lands on the key frame before it. So frames are decoded one after the other, and chosen by
their own times.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from course_utils.datasets.clips import spread

try:
    import av
    from av.error import FFmpegError
except ImportError:  # the course goes on without it
    av, FFmpegError = None, OSError

# Of each ending: codec and the form in which it keeps colours. Only the first keeps them exactly;
# the others store them at half the sides (yuv420p).
CODECS = {
    ".mkv": ("ffv1", "bgr0"),
    ".mp4": ("libx264", "yuv420p"),
    ".webm": ("libvpx-vp9", "yuv420p"),
}


def _library():
    if av is None:
        raise ImportError("video files are read by PyAV: pip install av")
    return av


def _open(path: Path):
    if not path.is_file():
        raise FileNotFoundError(f"expected a video file, found none at {path}")
    library = _library()
    try:
        file = library.open(str(path))
    except FFmpegError as error:
        raise ValueError(f"expected a video in {path}, got: {error}") from None
    if not file.streams.video:
        file.close()
        raise ValueError(f"expected a video in {path}, but it holds no pictures")
    return file


def _decoded(path: Path) -> Iterator:
    """The frames of the file's first video, in the order in which they are shown."""
    with _open(path) as file:
        try:
            yield from file.decode(video=0)
        except FFmpegError as error:
            raise ValueError(f"{path} is damaged: {error}") from None


def frame_times(path: str | Path) -> list[float]:
    """When each frame of a file is shown, in seconds from the first.

    Raises:
        FileNotFoundError: no such file.
        ImportError: PyAV isn't installed.
        ValueError: no video, or a damaged one.
    """
    times = [float(frame.time or 0.0) for frame in _decoded(Path(path))]
    if not times:
        raise ValueError(f"expected frames in {path}, found none")
    return [time - times[0] for time in times]


def _square(picture: Image.Image, side: int) -> np.ndarray:
    """(3, side, side) uint8: made smaller as a whole, on white."""
    small = ImageOps.contain(picture, (side, side), Image.Resampling.BICUBIC)
    square = Image.new("RGB", (side, side), "white")
    square.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return np.asarray(square).transpose(2, 0, 1).copy()  # (3, side, side)


def read_video(
    path: str | Path,
    wanted: int | None = None,
    side: int = 64,
    start: float = 0.0,
    end: float | None = None,
) -> UInt8[Tensor, "frames 3 side side"]:
    """Frames of a video file: all between `start` and `end` (seconds), or `wanted` of them, spread
    over the time. A file with fewer frames than wanted gives some twice.

    Raises:
        FileNotFoundError, ImportError, ValueError: as `frame_times`; no frame between the times.
    """
    path = Path(path)
    times = frame_times(path)
    inside = [i for i, t in enumerate(times) if t >= start and (end is None or t < end)]
    if not inside:
        until = "its end" if end is None else f"{end:g} s"
        raise ValueError(f"{path}: expected frames from {start:g} s to {until}, found none")
    chosen = inside if wanted is None else [inside[j] for j in spread(len(inside), wanted)]
    found, last = {}, max(chosen)
    for i, frame in enumerate(_decoded(path)):
        if i in chosen:
            found[i] = _square(frame.to_image(), side)
        if i == last:
            break
    return torch.from_numpy(np.stack([found[i] for i in chosen]))  # (frames, 3, side, side)


def write_video(
    path: str | Path, frames: UInt8[Tensor, "frames 3 height width"], per_second: int = 5
) -> None:
    """Writes a clip. The name's ending chooses the codec: .mkv keeps every pixel as it is, .mp4 and
    .webm are small and change colours.

    Raises:
        ImportError: PyAV isn't installed.
        ValueError: another ending, no bytes of that shape, odd sides for .mp4 or .webm, or a rate
            that is no whole number of at least 1.
    """
    library, path = _library(), Path(path)
    if path.suffix not in CODECS:
        raise ValueError(f"expected a name that ends in {', '.join(CODECS)}; got {path.name!r}")
    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8 or not len(frames):
        raise ValueError(
            f"frames: expected (frames, 3, height, width) uint8, got {tuple(frames.shape)} "
            f"{frames.dtype}"
        )
    if not isinstance(per_second, int) or per_second < 1:
        raise ValueError(f"per_second: expected a whole number of at least 1, got {per_second!r}")
    codec, form = CODECS[path.suffix]
    height, width = frames.shape[2:]
    if form == "yuv420p" and (height % 2 or width % 2):
        raise ValueError(f"{path.suffix}: expected even sides, got {height} x {width}")
    with library.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=Fraction(per_second))
        stream.width, stream.height, stream.pix_fmt = width, height, form
        for picture in _rows(frames):
            file.mux(stream.encode(library.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())


def _rows(frames: Tensor) -> Sequence[np.ndarray]:
    return [np.ascontiguousarray(frame.permute(1, 2, 0).numpy()) for frame in frames]
