"""The whole state of a training run in one file, so that a killed run goes on as if nothing was.

Weights alone aren't enough: Adam has its averages, the schedule its position, dropout and the order
of batches their random numbers, and the epoch is half done.
"""

import os
import random
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from torch.utils.data import DataLoader

VERSION = 3


@dataclass
class History:
    """What happened in a training run."""

    loss: list[float] = field(default_factory=list)  # of each update
    lr: list[float] = field(default_factory=list)  # of each update
    norm: list[float] = field(default_factory=list)  # of the gradient, before clipping, each update
    score: list[float] = field(default_factory=list)  # validation score after each epoch
    best_epoch: int = -1  # from 0; -1 without validation


@dataclass
class TrainingState:
    """What changes while a run goes on. `save` and `load` keep all of it, and nothing else."""

    model: nn.Module  # bare, not wrapped for several processes
    optimizer: Any  # accelerate's, around torch's
    schedule: torch.optim.lr_scheduler.LRScheduler
    accelerator: Accelerator
    generators: Sequence[torch.Generator]  # all but the global ones; see `generators_of`
    parts: Sequence[Any]  # what else has a state: an objective with a loader of its own, say
    run: dict[str, Any]  # what must be equal for the file to fit: settings, number of batches
    history: History = field(default_factory=History)
    best: dict | None = None  # weights of the best epoch
    epoch: int = 0
    done: int = 0  # batches of this epoch that were trained on
    finished: bool = False
    epoch_random: dict = field(default_factory=dict)  # `random_state` where the epoch began
    batch_random: dict = field(default_factory=dict)  # before the last call for a batch

    def batches(self, loader: Iterable, keep: bool) -> Iterator:
        """The batches of this epoch that are still to be trained on; `keep` notes random numbers.

        Those that were trained on are drawn again and dropped: with the random numbers of the
        epoch's beginning a loader gives the same order. The last of these calls gets its own
        numbers back, since accelerate's loader is one batch ahead: it draws (and a dataset that
        augments pictures changes) the first batch that is still needed.
        """
        if self.done:
            now = random_state(self.generators)
            set_random_state(self.epoch_random, self.generators)
        elif keep:
            self.epoch_random = random_state(self.generators)
        batches = iter(loader)
        for i in range(self.done):
            if i == self.done - 1:
                set_random_state(self.batch_random, self.generators)
            next(batches)
        if self.done:
            set_random_state(now, self.generators)
        while True:
            if keep:
                self.batch_random = random_state(self.generators)
            try:
                batch = next(batches)
            except StopIteration:
                return
            yield batch

    def save(self, path: Path) -> None:
        """Writes beside the file and renames: whenever the process is killed, the file there is
        whole, old or new. Every process must call it; the main one writes."""
        mine = {
            "now": random_state(self.generators),
            "epoch": self.epoch_random,
            "batch": self.batch_random,
        }
        every = gather_object([mine])  # each process has its own random numbers
        if not self.accelerator.is_main_process:
            return
        path = Path(path)
        scaler = self.accelerator.scaler
        values = {
            "version": VERSION,
            "run": self._run(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "random": every,
            "parts": [part.state_dict() for part in self.parts],
            "history": asdict(self.history),
            "best": self.best,
            "place": [self.epoch, self.done, self.finished],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".part")
        with beside.open("wb") as file:
            torch.save(values, file)
            file.flush()
            os.fsync(file.fileno())  # on the disk, not only on its way, before it gets the name
        os.replace(beside, path)

    def load(self, path: Path) -> None:
        """Puts everything back. Nothing in the file is executed (`weights_only`).

        Raises:
            ValueError: the file is damaged, or belongs to another model, data or configuration;
                the message says what was expected. Nothing is changed then. Other data in as many
                batches isn't noticed.
        """
        values = _read(path)
        wanted, found = self._run(), values["run"]
        for name in wanted:
            if wanted[name] != found.get(name):
                raise ValueError(
                    f"{path} holds another run: expected {_difference(name, wanted, found)}; "
                    "give `resume` another file, or delete this one to begin anew"
                )
        self.model.load_state_dict(values["model"])
        self.optimizer.load_state_dict(values["optimizer"])
        self.schedule.load_state_dict(values["schedule"])
        if values["scaler"] is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(values["scaler"])
        for part, kept in zip(self.parts, values["parts"], strict=True):
            part.load_state_dict(kept)
        self.history.__dict__.update(values["history"])
        self.best = values["best"]
        self.epoch, self.done, self.finished = values["place"]
        mine = values["random"][self.accelerator.process_index]
        self.epoch_random, self.batch_random = mine["epoch"], mine["batch"]
        set_random_state(mine["now"], self.generators)

    def _run(self) -> dict:
        """What a file must agree with: `run`, every tensor of the model and what is trained."""
        trained = {name for name, p in self.model.named_parameters() if p.requires_grad}
        tensors = {
            name: f"{'trained' if name in trained else 'fixed'} {tuple(t.shape)} {t.dtype}"
            for name, t in self.model.state_dict().items()
        }
        return self.run | {"model": tensors}


def _read(path: Path) -> dict:
    try:
        with zipfile.ZipFile(path) as file:  # torch.load doesn't look at the checksums
            if (bad := file.testzip()) is not None:
                raise ValueError(f"wrong checksum of {bad}")
        values = torch.load(path, map_location="cpu", weights_only=True)
        if values["version"] != VERSION:
            raise ValueError(f"version {values['version']} instead of {VERSION}")
        return values
    except Exception as error:  # zipfile and torch raise many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"expected a training state that `fit` wrote in {path}, got: {reason}; "
            "delete it to begin anew"
        ) from None


def _difference(name: str, wanted: dict, found: dict) -> str:
    """'lr 0.1, got 0.2': the first entry that differs."""
    a, b = wanted[name], found.get(name)
    if isinstance(a, dict) and isinstance(b, dict):
        key = next(k for k in a | b if a.get(k) != b.get(k))
        return f"{name} {key} = {a.get(key, 'none')}, got {b.get(key, 'none')}"
    return f"{name} = {a}, got {b}"


# Random numbers


def generators_of(*loaders: DataLoader) -> list[torch.Generator]:
    """The generators of loaders, their samplers and datasets, each once, in a fixed order."""
    found: list[torch.Generator] = []
    for loader in loaders:
        batched = getattr(loader, "batch_sampler", None)
        parts = (
            loader,
            getattr(loader, "sampler", None),
            batched,
            getattr(batched, "sampler", None),
            getattr(loader, "dataset", None),
        )
        for part in parts:
            one = getattr(part, "generator", None)
            if isinstance(one, torch.Generator) and all(one is not other for other in found):
                found.append(one)
    return found


def random_state(generators: Sequence[torch.Generator] = ()) -> dict:
    """The states of Python's, NumPy's and torch's global generators, and of `generators`."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    version, words, gauss = random.getstate()
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "generators": [g.get_state() for g in generators],
    }


def set_random_state(state: dict, generators: Sequence[torch.Generator] = ()) -> None:
    """Puts back what `random_state` gave."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    for generator, one in zip(generators, state["generators"], strict=True):
        generator.set_state(one)
