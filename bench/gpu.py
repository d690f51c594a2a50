"""The benchmark's rows on a GPU, kept in bench/gpu.json; about three minutes on one card.

A row is written when it is measured and not measured again while the file holds it and machine and
version of PyTorch are the same: a run that was cut off is taken up.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from bench.encoders import against_peers
from bench.training import time_to_accuracy

FILE = Path(__file__).with_name("gpu.json")


def trained(recipe: str, device: str) -> dict:
    """Time to the goal, as `Run` has it."""
    time_to_accuracy(recipe, device=device, pictures=16)  # what a GPU does once only
    return asdict(time_to_accuracy(recipe, device=device))


def encoded(device: str) -> dict:
    """Forward and backward of the joint encoder and its peers: milliseconds, times ours."""
    with torch.device(device):  # where new tensors lie
        return {name: dict(ms=ms, ratio=ratio) for name, ms, ratio, _ in against_peers(threads=1)}


ROWS: dict[str, Callable[[str], dict]] = {
    "fast": lambda device: trained("fast", device),
    "lesson 08": lambda device: trained("lesson 08", device),
    "encoders": encoded,
}


def measure(device: str = "cuda", path: Path = FILE, rows=ROWS) -> dict:
    """Measures what the file lacks; what stands in it then: {"machine": name of the card,
    "torch": version, "rows": {name: measured}} and what else it held."""
    machine = torch.cuda.get_device_name() if device == "cuda" else device
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    here = {"machine": machine, "torch": torch.__version__}
    same = here.items() <= held.items()
    found = {"rows": {}} | (held if same else {}) | here
    for name, row in rows.items():
        if name not in found["rows"]:
            found["rows"][name] = row(device)
            beside = path.with_name(path.name + ".part")
            beside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            os.replace(beside, path)  # a run that is killed leaves the old file whole
    return found
