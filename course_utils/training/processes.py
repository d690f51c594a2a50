r"""The gradients of one update, in one process or shared by several: are they the same?

    python -m course_utils.training.processes --out one.safetensors
    accelerate launch --multi_gpu --num_processes 2 \
        -m course_utils.training.processes --out two.safetensors

`--multi_gpu` makes accelerate start processes of its own, on a CPU too; with `--cpu` it leaves that
to MPI, and without MPI starts one process, whatever `--num_processes` says.

A batch of 16 pictures of the teaching world with four questions each is trained on once by `fit`,
in double precision; two processes (gloo, on the CPU) take eight pictures each. The mean of two
means over equal shards is the mean over all, unless a layer mixes the examples of a process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_utils.datasets import Batch, load_world, loader
from course_utils.models.heads import AnswerHead
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.vision import ConvStem
from course_utils.models.vqa import VQAModel
from course_utils.objectives.classification import cross_entropy
from course_utils.training import disturb
from course_utils.training.fit import FitConfig, fit

IMAGES = 16  # pictures an update, of all processes together
NORMS = ("group", "batch")  # in the stem; the encoder has layer normalisation
UPDATE = FitConfig(epochs=1, max_steps=1, optimizer="sgd", clip=0.0)


def norm_model(norm: str, answers: int, vocab_size: int) -> VQAModel:
    """The joint model of lesson 08, small and in double precision; `norm` is its stem's.

    Raises:
        ValueError: `norm` is none of NORMS.
    """
    _check_norm(norm)
    torch.manual_seed(0)
    config = JointConfig(
        dim=32, layers=2, heads=4, mlp_dim=64, visual_dim=32, vocab_size=vocab_size
    )
    stem = ConvStem(config.visual_dim)
    if norm == "group":
        for module in list(stem.blocks):
            block: Any = module  # convolution, normalisation, activation, pooling
            block[1] = nn.GroupNorm(4, block[1].num_features)
    return VQAModel(stem, JointEncoder(config), AnswerHead(config.dim, answers)).double()


def _check_norm(norm: str) -> None:
    if norm not in NORMS:
        raise ValueError(f"norm: expected one of {', '.join(NORMS)}, got {norm!r}")


def double_objective(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy in double precision."""
    images = batch.images.double()  # (images, 3, height, width)
    logits = model(images, batch.image_index, batch.x, batch.mask)  # (batch, answers)
    return cross_entropy(logits, batch.y)


def gradients(norm: str = "group", accumulate: int = 1) -> dict[str, Tensor]:
    """Name -> gradient, double, of one update of IMAGES pictures: each process of those running
    takes an equal part, and that in `accumulate` batches one after the other.

    Raises:
        ValueError: the pictures can't be shared equally.
    """
    parts = PartialState(cpu=True).num_processes * accumulate
    if IMAGES % parts:
        raise ValueError(f"expected a number of parts that divides {IMAGES}, got {parts}")
    data = load_world("iid", "train", IMAGES, 4)
    model = norm_model(norm, len(data.answers), data.tokenizer.get_vocab_size())
    found: dict[str, Tensor] = {}

    def note(step: int) -> None:
        grads = {name: p.grad for name, p in model.named_parameters()}
        found.update({name: g.clone() for name, g in grads.items() if g is not None})

    config = replace(UPDATE, accumulate=accumulate)
    fit(
        model,
        double_objective,
        loader(data, IMAGES // parts, shuffle=False),
        config=config,
        device="cpu",
        progress=False,
        after_update=note,
    )
    return found


def launch(processes: int = 2, norm: str = "group") -> dict[str, Tensor]:
    """`gradients` in so many processes, started by `accelerate launch`, and what they wrote.

    Raises:
        ValueError: `norm` is none of NORMS.
        RuntimeError: they failed; with what they said.
    """
    _check_norm(norm)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "gradients.safetensors"
        start = "--multi_gpu" if processes > 1 else "--cpu"
        command = [
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            start,
            "--num_processes",
            str(processes),
            "--num_machines",
            "1",
            "--mixed_precision",
            "no",
            "--dynamo_backend",
            "no",
            "--main_process_port",
            "0",
            "-m",
            "course_utils.training.processes",
            "--norm",
            norm,
            "--out",
            str(out),
        ]
        here = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        env = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=env)
        if done.returncode or f"processes {processes}," not in done.stdout:
            told = (done.stdout + done.stderr)[:3000]  # the processes speak first
            raise RuntimeError(f"expected gradients of {processes} processes, got: {told}")
        return load_file(out)


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference of two gradients, relative to the largest entry of the first.

    Raises:
        ValueError: they aren't of the same parameters.
    """
    if one.keys() != other.keys():
        raise ValueError(f"expected the same parameters, got {len(one)} and {len(other)}")
    difference = max((one[name] - other[name]).abs().max().item() for name in one)
    return difference / max(g.abs().max().item() for g in one.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--norm", choices=NORMS, default="group")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    disturb.start(int(os.environ.get("COURSE_DISTURB", "0")))  # as in the process that started it
    found = gradients(options.norm)
    state = PartialState()
    if state.is_main_process:
        save_file(found, options.out)
        print(f"processes {state.num_processes}, gradients of {len(found)} tensors: {options.out}")
    if state.num_processes > 1:
        state.destroy_process_group()


if __name__ == "__main__":
    main()
