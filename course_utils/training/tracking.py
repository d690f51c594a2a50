"""Curves of a run for TensorBoard or Weights & Biases: one word changes between them.

On accelerate's own trackers. Weights & Biases runs in its offline mode: it needs no account and
sends nothing; `wandb sync FOLDER` would send a run later, if one wants that.
"""

import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

from accelerate.tracking import TensorBoardTracker, WandBTracker

KINDS = ("tensorboard", "wandb")
Curves = dict[str, list[tuple[int, float]]]  # name -> (step, value) in order


class Tracker:
    """Writes numbers of a run into `folder`; a tracker of kind None does nothing.

    Args:
        kind: "tensorboard", "wandb" or None.
        settings: how the run was made, kept with it.
        first_step: of a run that goes on; TensorBoard drops what was logged from there on. With 0
            it shows the new run alone; the files of an older one stay in the folder.

    Raises:
        ValueError: an unknown kind, or no folder.
    """

    def __init__(
        self, kind: str | None, folder: Path | None, settings: dict[str, Any], first_step: int = 0
    ):
        self.inner = None
        if kind is None:
            return
        if kind not in KINDS:
            raise ValueError(f"tracker: expected {' or '.join(map(repr, KINDS))}, got {kind!r}")
        if folder is None:
            raise ValueError(f"run_folder: expected a folder for {kind}'s files, got None")
        folder = Path(folder).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "tensorboard":
            self.inner = TensorBoardTracker(folder.name, folder.parent, purge_step=first_step)
            self.inner.start()
            lines = [f"    {name}: {value}" for name, value in settings.items()]  # as Markdown code
            self.inner.log({"settings": "\n".join(lines)}, step=first_step)
        else:
            self.inner = WandBTracker(
                folder.name,
                dir=str(folder),
                mode="offline",
                config=settings,
                settings=_quiet_wandb(),
            )
            self.inner.start()

    def log(self, values: dict[str, float], step: int) -> None:
        """`step` is an update, from 0; it may be repeated, but not fall."""
        if self.inner is not None:
            self.inner.log(values, step=step)

    def close(self) -> None:
        if self.inner is None:
            return
        self.inner.finish()
        if self.inner.name == "wandb":  # a process of its own writes the file: wait for its end
            import wandb

            wandb.teardown()


def _quiet_wandb():
    """Nothing printed, nothing recorded of the machine, the code or the repository."""
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        quiet=True,
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        x_disable_stats=True,
        x_disable_meta=True,
    )


def read_tensorboard(folder: Path) -> Curves:
    """The curves in TensorBoard's event files, in single precision as it keeps them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})  # 0: all of them
    events.Reload()
    return {
        name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]
    }


def read_wandb(folder: Path) -> Curves:
    """The curves in the newest offline run of Weights & Biases under `folder`.

    Raises:
        FileNotFoundError: there is none.
    """
    import json

    from wandb.proto import wandb_internal_pb2

    files = sorted(
        Path(folder).glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns
    )
    if not files:
        raise FileNotFoundError(f"expected wandb/offline-run-*/*.wandb in {folder}, found none")
    curves: Curves = defaultdict(list)
    for content in _records(files[-1].read_bytes()):
        record = wandb_internal_pb2.Record()  # pyright: ignore[reportAttributeAccessIssue]
        record.ParseFromString(content)
        if record.WhichOneof("record_type") != "history":
            continue
        row = {
            item.key or ".".join(item.nested_key): json.loads(item.value_json)
            for item in record.history.item
        }
        for name, value in row.items():
            if not name.startswith("_"):
                curves[name].append((record.history.step.num, value))
    return dict(curves)


def _records(data: bytes):
    """The records of a file in LevelDB's log format, after a header of seven bytes: blocks of
    32 kB, in which each piece has a checksum (4 bytes), a length (2) and a type (1): whole (1),
    first (2), middle (3) or last (4)."""
    place, parts = 7, []
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:  # too short for a piece's head: padding
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        if kind == 0:
            return
        parts.append(data[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):
            yield b"".join(parts)
            parts = []
