"""One training loop for the whole course: `fit`.

It knows neither the model nor the data: it is given an objective (model, batch) -> loss and a
loader of batches. Devices, precision and several processes are accelerate's part.
"""

import copy
import itertools
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

Objective = Callable[[nn.Module, tuple], Tensor]


@dataclass(frozen=True)
class FitConfig:
    """How to train."""

    epochs: int = 5  # passes over the training data
    lr: float = 1e-3  # the highest learning rate, reached after the warm-up
    optimizer: str = "adamw"  # "adamw" or "sgd"
    weight_decay: float = 0.01  # decoupled for AdamW; matrices only, see `parameter_groups`
    momentum: float = 0.9  # SGD's momentum, AdamW's first beta
    warmup: float = 0.1  # share of all updates in which the rate rises from 0
    clip: float = 1.0  # largest norm of the gradient; 0 for no clipping
    patience: int = 0  # stop after so many epochs without a better score; 0 for never
    precision: str = "no"  # accelerate's mixed precision: "no", "bf16" or "fp16"
    max_steps: int = 0  # stop after so many updates; 0 for no limit

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "sgd"):
            raise ValueError(f"optimizer: expected 'adamw' or 'sgd', got {self.optimizer!r}")
        if self.epochs < 1 or self.lr <= 0 or not 0 <= self.warmup <= 1:
            raise ValueError(
                "expected epochs >= 1, lr > 0 and 0 <= warmup <= 1, got "
                f"epochs={self.epochs}, lr={self.lr}, warmup={self.warmup}"
            )


@dataclass
class History:
    """What happened in a training run."""

    loss: list[float] = field(default_factory=list)  # of each update
    lr: list[float] = field(default_factory=list)  # of each update
    score: list[float] = field(default_factory=list)  # validation score after each epoch
    best_epoch: int = -1  # from 0; -1 without validation


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups: matrices decay; biases, norms and embeddings don't. Frozen ones are left out.

    Decay pulls weights to zero. For a bias, or the scale of a normalisation, zero isn't simpler,
    and a rare word's embedding would decay in every step in which the word doesn't occur.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError("expected at least one trainable parameter, but all are frozen")
    decays = [p for p in trainable if p.ndim > 1 and id(p) not in embeddings]
    others = [p for p in trainable if p.ndim <= 1 or id(p) in embeddings]
    groups = [
        {"params": decays, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(model: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """AdamW or SGD over `parameter_groups`."""
    groups = parameter_groups(model, config.weight_decay)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=(config.momentum, 0.98))
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)


def warmup_cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """The factor of the learning rate in update `step`: a straight rise to 1, then half a cosine
    down to 0. Counted in updates, not epochs (Loshchilov and Hutter, arXiv 1608.03983)."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def freeze(module: nn.Module) -> None:
    """Freezes a part of a model: no gradients, and `fit` keeps it in eval mode, so that dropout
    is off and batch normalisation doesn't change its running statistics."""
    module.requires_grad_(False)


def train_mode(model: nn.Module) -> None:
    """Train mode, but for modules that are frozen as a whole."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()


def fit(
    model: nn.Module,
    objective: Objective,
    train: DataLoader,
    validate: Callable[[nn.Module], float] | None = None,
    config: FitConfig = FitConfig(),
    checkpoint: Path | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
    after_update: Callable[[int], None] | None = None,
) -> History:
    """Trains `model` in place and leaves it, in eval mode, with the weights of its best epoch.

    Args:
        objective: (model, batch) -> scalar loss, a mean over the batch.
        train: batches; if its batch sampler has `set_epoch`, that is called before each epoch.
        validate: model -> score, higher is better, measured after each epoch on data that is
            neither trained on nor reported. Without it the last weights are kept.
        checkpoint: where the best weights are saved as safetensors.
        device: "cpu" to stay off the GPU; accelerate's choice when None.
        after_update: called with the number of each update, from 0, when the weights are new and
            the gradients still there.

    Raises:
        ValueError: every parameter is frozen.
        FloatingPointError: the loss is not finite; names the step. The best weights so far stay
            in `checkpoint`.
    """
    # accelerate remembers the precision of its first use in a process; a notebook compares several
    AcceleratorState._reset_state(reset_partial_state=False)
    accelerator = Accelerator(
        cpu=device is not None and torch.device(device).type == "cpu",
        mixed_precision=config.precision,
    )
    optimizer = make_optimizer(model, config)
    each = max(1, len(train) // accelerator.num_processes)  # batches of a process in an epoch
    total = config.epochs * each
    if config.max_steps:
        total = min(total, config.max_steps)
    warmup_steps = round(config.warmup * total)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, warmup_steps, total)
    )
    sampler = train.batch_sampler
    wrapped, optimizer, batches = accelerator.prepare(model, optimizer, train)
    history, best = History(), None
    bar = tqdm(total=total, disable=not progress, leave=False)
    for epoch in range(config.epochs):
        for part in (sampler, batches):  # accelerate's loader would set its own count of epochs
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        train_mode(model)
        for batch in itertools.islice(batches, each):  # a process with one more would wait for ever
            if len(history.loss) == total:
                break
            history.lr.append(schedule.get_last_lr()[0])
            history.loss.append(
                update(wrapped, objective, batch, optimizer, accelerator, config.clip)
            )
            if not math.isfinite(history.loss[-1]):
                raise FloatingPointError(
                    f"the loss became {history.loss[-1]} in update {len(history.loss)}: "
                    "try a smaller learning rate, more warm-up, or clipping"
                )
            if after_update is not None:
                after_update(len(history.loss) - 1)
            schedule.step()
            bar.update()
        if validate is not None:
            model.eval()
            history.score.append(validate(model))
            bar.set_postfix(score=f"{history.score[-1]:.3f}", refresh=False)
            if history.best_epoch < 0 or history.score[-1] > history.score[history.best_epoch]:
                history.best_epoch = epoch
                best = copy.deepcopy(model.state_dict())
                _save(model, checkpoint, accelerator)
            elif config.patience and epoch - history.best_epoch >= config.patience:
                break
        if len(history.loss) == total:
            break
    bar.close()
    if best is not None:
        model.load_state_dict(best)
    else:
        _save(model, checkpoint, accelerator)
    model.eval()
    return history


def update(
    model: nn.Module,
    objective: Objective,
    batch: tuple,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    clip: float,
) -> float:
    """One update of the weights; the loss before it."""
    optimizer.zero_grad()
    with accelerator.autocast():
        loss = objective(model, batch)
    accelerator.backward(loss)
    if clip:
        accelerator.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return loss.item()


def _save(model: nn.Module, path: Path | None, accelerator: Accelerator) -> None:
    """Writes beside the target and renames, so that a killed process leaves the old file whole."""
    if path is None or not accelerator.is_main_process:
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    save_model(model, str(beside))
    os.replace(beside, path)
