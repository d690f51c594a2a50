"""`fit` against transformers' Trainer, and two processes against one."""

import copy
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from course_utils.datasets import VQAData, load_world, loader
from course_utils.methods.answering import world_model
from course_utils.training.fit import FitConfig, fit, make_optimizer, warmup_cosine
from course_utils.training.objective import answer_objective

STEPS = 150
CONFIG = FitConfig(epochs=100, max_steps=STEPS, warmup=0.1)
LAUNCH = (
    "-m",
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_processes",
    "2",
    "--num_machines",
    "1",
    "--mixed_precision",
    "no",
    "--dynamo_backend",
    "no",
    "--main_process_port",
    "0",
)
IMAGES_PER_BATCH = 2  # small, so that what a loop adds to a step is seen


def data(scenes: int = 320) -> VQAData:
    return load_world("iid", "train", scenes, 4)


class WithLoss(nn.Module):
    """The model as Trainer wants it: it gets a dictionary and returns its own loss."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images, image_index, x, mask, labels):
        logits = self.model(images, image_index, x, mask)  # (batch, answers)
        return {"loss": nn.functional.cross_entropy(logits, labels)}


class LoaderTrainer(Trainer):
    """Trainer with our batches, in the order in which `fit` takes them."""

    def __init__(self, batches: DataLoader, **options):
        super().__init__(**options)
        self.batches = batches

    def get_train_dataloader(self) -> DataLoader:
        return self.batches


def as_dictionary(batch) -> dict:
    return dict(
        images=batch.images,
        image_index=batch.image_index,
        x=batch.x,
        mask=batch.mask,
        labels=batch.y,
    )


def by_trainer(model: nn.Module, train: VQAData) -> float:
    """Trains `model` in place; its loss over the data afterwards."""
    wrapped = WithLoss(model)
    optimizer = make_optimizer(wrapped, CONFIG)
    warm = round(CONFIG.warmup * STEPS)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, warm, STEPS)
    )
    ours = loader(train, IMAGES_PER_BATCH, seed=0)
    batches = DataLoader(train, batch_sampler=ours.batch_sampler, collate_fn=as_dictionary)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=STEPS,
            max_grad_norm=CONFIG.clip,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        trainer = LoaderTrainer(
            batches, model=wrapped, args=arguments, optimizers=(optimizer, schedule)
        )
        trainer.train()
    return last_loss(model, train)


def last_loss(model: nn.Module, train: VQAData) -> float:
    """The loss over the data after training."""
    model.eval()
    with torch.no_grad():
        losses = [answer_objective(model, b).item() for b in loader(train, 64, shuffle=False)]
    return sum(losses) / len(losses)


def fit_against_trainer(threads: int, repeats: int = 3) -> tuple[str, float, float, str]:
    """Name, our ms a step, how many times longer Trainer takes, and the final losses of both."""
    torch.set_num_threads(threads)
    train = data()
    torch.manual_seed(0)
    start = world_model(train, "joint")
    best = {"fit": float("inf"), "Trainer": float("inf")}
    ends = {}
    for _ in range(repeats):  # in turns; the fastest counts, as what disturbs only adds
        for name in best:
            model = copy.deepcopy(start)
            began = time.perf_counter()
            if name == "fit":
                fit(
                    model,
                    answer_objective,
                    loader(train, IMAGES_PER_BATCH, seed=0),
                    config=CONFIG,
                    device="cpu",
                    progress=False,
                )
                ends[name] = last_loss(model, train)
            else:
                ends[name] = by_trainer(model, train)
            best[name] = min(best[name], (time.perf_counter() - began) * 1000 / STEPS)
    return (
        "`fit`, a step of 8 questions, against Trainer",
        best["fit"],
        best["Trainer"] / best["fit"],
        f"final loss {ends['fit']:.5f} and {ends['Trainer']:.5f}",
    )


SCRIPT = """
import sys, time, torch
from accelerate import PartialState
from bench.loop import data
from course_utils.datasets import loader
from course_utils.methods.answering import world_model
from course_utils.training.fit import FitConfig, fit
from course_utils.training.objective import answer_objective

torch.set_num_threads(1)
state = PartialState(cpu=True)
train = data(1024)
torch.manual_seed(0)
model = world_model(train, "joint")
config = FitConfig(epochs=2, warmup=0.1)
fit(model, answer_objective, loader(train, 8), config=FitConfig(max_steps=3), device="cpu",
    progress=False)
start = time.perf_counter()
fit(model, answer_objective, loader(train, int(sys.argv[1])), config=config, device="cpu",
    progress=False)
if state.is_main_process:
    print("seconds", time.perf_counter() - start)
state.destroy_process_group()  # otherwise gloo's threads may abort the process as it ends
"""


def two_processes() -> tuple[float, float]:
    """Seconds for two passes: one process with batches of 64 pictures, two with 32 each."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "two.py"
        script.write_text(SCRIPT)
        for arguments in ([str(script), "64"], [*LAUNCH, str(script), "32"]):
            done = subprocess.run(
                [sys.executable, *arguments],
                capture_output=True,
                text=True,
                check=True,
                env=_environment(),
            )
            line = next(x for x in done.stdout.splitlines() if x.startswith("seconds"))
            seconds.append(float(line.split()[1]))
    return seconds[0], seconds[1]


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parent.parent)
    return os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
