"""Frozen features of a set of pictures, computed once and kept on disk.

The file's name holds a hash of the pictures, of the model's weights and of what is computed with
them, so a changed picture or model never gets old features. A file is written under another name
and then renamed, which happens as a whole or not at all: a process that is killed leaves no half
file under the final name.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from course_utils.cache import cache_folder, sweep, whole_file


def fingerprint(images: Tensor, model: nn.Module | None = None, extra: str = "") -> str:
    """Sixteen hexadecimal digits that change with any pixel, any weight, and with `extra`."""
    digest = hashlib.sha256(extra.encode())
    state = {} if model is None else model.state_dict()
    digest.update(repr(model).encode())  # the architecture: two models may share their weights
    for name, value in [("images", images), *sorted(state.items())]:
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)  # (numbers,)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


@torch.no_grad()
def cached_features(
    name: str,
    images: Tensor,
    model: nn.Module,
    compute: Callable[[Tensor], Tensor] | None = None,
    folder: Path | None = None,
    batch: int = 16,
    version: str = "",
) -> Float[Tensor, "images ..."]:
    """Features of `images`, from the disk where they were computed before.

    Args:
        name: the first part of the file's name: what this is, such as "emoji-grid-160".
        images: (images, 3, height, width), uint8, or floating point in [0, 1]; the model gets them
            in batches, as floating point in [0, 1].
        model: its weights are part of the key; it computes in eval mode.
        compute: batch of pictures -> features, such as `model.grid`; the model itself when None.
            It should use no other weights than the model's.
        folder: where the files lie; `cache_folder()` when None.
        version: part of the key; change it with what `compute` does, which the key can't see.

    A damaged file is computed anew. Where the folder can't be written, nothing is kept.

    Raises:
        ValueError: no pictures, a name that is no file name, or not one feature a picture.
    """
    if len(images) == 0:
        raise ValueError("cached_features expected at least one picture, got none")
    if not name or Path(name).name != name:
        raise ValueError(f"name: expected a name without slashes, got {name!r}")
    folder = cache_folder() if folder is None else Path(folder)
    key = fingerprint(images, model, f"{name} {version}")
    path = folder / f"{name}-{key}.safetensors"
    found = _read(path, key, len(images))
    if found is not None:
        return found
    features = _in_batches(images, model, compute or model, batch)
    with suppress(OSError, SafetensorError):  # a full or read-only disk: nothing is kept
        _write(path, features, key)
    return features


def _in_batches(images: Tensor, model: nn.Module, compute: Callable, batch: int) -> Tensor:
    training, parts = model.training, []
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    model.eval()
    try:
        for some in images.split(batch):
            pixels = some.float() / 255 if some.dtype == torch.uint8 else some
            parts.append(compute(pixels.to(device)).cpu())  # (batch, ...)
            if len(parts[-1]) != len(some):
                raise ValueError(
                    f"expected one feature a picture, got {tuple(parts[-1].shape)} "
                    f"for {len(some)} pictures"
                )
    finally:
        model.train(training)
    return torch.cat(parts)  # (images, ...)


def _read(path: Path, key: str, count: int) -> Tensor | None:
    """The features in a file, or None when it isn't there, damaged, or another's."""
    try:
        with safe_open(path, "pt") as file:
            features = file.get_tensor("features")  # (images, ...)
            told = file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    right = told.get("key") == key and told.get("sha256") == _sha256(features)
    return features if right and len(features) == count else None


def _write(path: Path, features: Tensor, key: str) -> None:
    sweep(path.parent)
    features = features.contiguous()
    with whole_file(path) as part:
        save_file({"features": features}, part, {"key": key, "sha256": _sha256(features)})


def _sha256(features: Tensor) -> str:
    flat = features.contiguous().reshape(-1)  # (numbers,)
    return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()
