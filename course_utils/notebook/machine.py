"""What machine is this, and how fast is it? For the first lesson and for `make timings`."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version

import torch

PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "tokenizers",
    "accelerate",
    "matplotlib",
    "ipywidgets",
    "easy-vqa",
)


def versions() -> dict[str, str]:
    """Python and the packages that the course uses; "missing" where one isn't installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def matrix_rate(device: str | torch.device = "cpu", size: int = 512, seconds: float = 0.3) -> float:
    """Billions of multiplications and additions a second (GFLOP/s) in products of two float32
    matrices (size, size): the best of as many products as fit into `seconds`, at least three.

    Raises:
        ValueError: size or seconds isn't above 0.
    """
    if size < 1 or seconds <= 0:
        raise ValueError(f"expected size >= 1 and seconds > 0, got {size} and {seconds}")
    a = torch.full((size, size), 0.5, device=device)  # (size, size)
    cuda = a.device.type == "cuda"
    best, end, done = float("inf"), time.perf_counter() + seconds, 0
    while done < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        _ = a @ a
        if cuda:
            torch.cuda.synchronize()
        best, done = min(best, time.perf_counter() - begin), done + 1
    return 2 * size**3 / best / 1e9


def single_core_rate() -> float:
    """`matrix_rate` of one CPU thread; the number of threads is restored."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return matrix_rate()
    finally:
        torch.set_num_threads(threads)
