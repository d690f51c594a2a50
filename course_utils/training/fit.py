"""One training loop for the whole course: `fit`.

It knows neither the model nor the data: it is given an objective (model, batch) -> loss and a
loader of batches. Devices, precision and several processes are accelerate's part.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from course_utils.cache import whole_file
from course_utils.training.state import History, TrainingState, generators_of
from course_utils.training.tracking import Tracker

Objective = Callable[[Any, Any], Tensor]  # of a model and a batch that fit together


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
    accumulate: int = 1  # batches whose gradients are averaged for one update
    save_every: int = 0  # updates after which `resume` is written; 0 for after epochs only

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "sgd"):
            raise ValueError(f"optimizer: expected 'adamw' or 'sgd', got {self.optimizer!r}")
        if self.epochs < 1 or not 0 < self.lr < math.inf or not 0 <= self.warmup <= 1:
            raise ValueError(
                "expected epochs >= 1, lr > 0 and 0 <= warmup <= 1, got "
                f"epochs={self.epochs}, lr={self.lr}, warmup={self.warmup}"
            )
        if not (self.weight_decay >= 0 and 0 <= self.momentum < 1 and self.clip >= 0):
            raise ValueError(
                "expected weight_decay >= 0, 0 <= momentum < 1 and clip >= 0 (0: no clipping), got "
                f"weight_decay={self.weight_decay}, momentum={self.momentum}, clip={self.clip}"
            )
        if self.patience < 0 or self.max_steps < 0:
            raise ValueError(
                "expected patience >= 0 and max_steps >= 0 (0: no limit), got "
                f"patience={self.patience}, max_steps={self.max_steps}"
            )
        if self.accumulate < 1 or self.save_every < 0:
            raise ValueError(
                "expected accumulate >= 1 and save_every >= 0, got "
                f"accumulate={self.accumulate}, save_every={self.save_every}"
            )


def undecayed(model: nn.Module) -> set[int]:
    """The ids of the parameters that don't decay whatever their shape: tables and norms. A table is
    an embedding, or what a module names in a method `no_weight_decay()`, as timm's models do for
    position tables and class tokens, which are bare parameters."""
    found = set()
    for module in model.modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm)):
            found |= {id(p) for p in module.parameters(recurse=False)}
        named = dict(module.named_parameters())
        names = getattr(module, "no_weight_decay", tuple)()  # none where there is no such method
        found |= {id(named[name]) for name in names if name in named}
    return found


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups: matrices decay; biases, norms and tables don't. Frozen ones are left out.

    Decay pulls weights to zero. For a bias, or the scale of a normalisation, zero isn't simpler,
    and a rare word's embedding would decay in every step in which the word doesn't occur.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError("expected at least one trainable parameter, but all are frozen")
    kept = undecayed(model)
    decays = [p for p in trainable if p.ndim > 1 and id(p) not in kept]
    others = [p for p in trainable if p.ndim <= 1 or id(p) in kept]
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
    resume: Path | None = None,
    tracker: str | None = None,
    run_folder: Path | None = None,
    generators: Sequence[torch.Generator] = (),
    stateful: Sequence[Any] = (),
) -> History:
    """Trains `model` in place and leaves it, in eval mode, with the weights of its best epoch.

    Args:
        objective: (model, batch) -> scalar loss, a mean over the batch.
        train: batches; if its batch sampler has `set_epoch`, that is called before each epoch.
            With `config.accumulate` = k an update has the mean gradient of k batches: that of one
            large batch if they are equally large and no layer mixes examples (batch normalisation
            does) and the loss is a mean over examples (a contrastive one, which compares the
            examples of a batch, isn't). Each batch counts alike: in a smaller one an example weighs
            more. What is left at the end of an epoch, fewer than k batches, makes one more update
            with its own mean.
        validate: model -> score, higher is better, measured after each epoch on data that is
            neither trained on nor reported. Without it the last weights are kept.
        checkpoint: where the best weights are saved as safetensors.
        device: "cpu" to stay off the GPU; accelerate's choice when None.
        after_update: called with the number of each update, from 0, when the weights are new and
            the gradients still there.
        resume: where the state of the run is kept, written every `config.save_every` updates and
            after each epoch. If the file is there, training goes on from it, and ends as if it had
            never stopped.
        tracker: "tensorboard" or "wandb" (offline): loss, learning rate, norm of the gradient
            before clipping and validation score go into `run_folder`.
        generators: what the objective draws from, if not from torch's own, so that `resume` keeps
            their states too.
        stateful: what else changes from update to update and has `state_dict` and
            `load_state_dict`. An objective that has both, and an object whose method is
            `after_update`, such as AdaLoRA's allocator, are kept without being named. What has
            `expect_updates` is told the number of updates first.

    Raises:
        ValueError: every parameter is frozen; `train` has no batch; `resume` is damaged or of
            another run.
        FloatingPointError: the loss, or after an epoch a weight, is not finite; names the step.

    Whatever ends it, an error or Ctrl-C too, the model is left in eval mode, with the best weights
    so far where an epoch was validated, and these stay in `checkpoint`.
    """
    if len(train) == 0:
        raise ValueError(
            "train: expected at least one batch, got none (with drop_last there must be as many "
            "examples as in a batch)"
        )
    # accelerate remembers precision and device of its first use; a notebook compares several
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    own_forward = vars(model).get("forward")  # accelerate puts its own there for mixed precision
    accelerator = Accelerator(
        cpu=device is not None and torch.device(device).type == "cpu",
        mixed_precision=config.precision,
    )
    optimizer = make_optimizer(model, config)
    each = max(1, len(train) // accelerator.num_processes)  # batches of a process in an epoch
    total = config.epochs * math.ceil(each / config.accumulate)  # updates
    if config.max_steps:
        total = min(total, config.max_steps)
    own = (objective, getattr(after_update, "__self__", None), *stateful)
    kept = {id(p): p for p in own if p is not None and hasattr(p, "load_state_dict")}
    parts = list(kept.values())  # each once
    for part in parts:
        if hasattr(part, "expect_updates"):
            part.expect_updates(total)
    warmup_steps = round(config.warmup * total)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, warmup_steps, total)
    )
    sampler = train.batch_sampler
    wrapped, optimizer, batches = accelerator.prepare(model, optimizer, train)
    settings = {name: value for name, value in asdict(config).items() if name != "save_every"}
    state = TrainingState(
        model,
        optimizer,
        schedule,
        accelerator,
        [*generators_of(train, batches), *generators],
        parts,
        run={"settings": settings, "batches": each, "processes": accelerator.num_processes},
    )
    if resume is not None and Path(resume).exists():
        state.load(resume)
    history = state.history
    log = Tracker(tracker, run_folder, settings, first_step=len(history.loss))
    if tracker == "wandb":  # each run has a file of its own: what came before is told again
        _log_again(log, history, math.ceil(each / config.accumulate))
    bar = tqdm(total=total, initial=len(history.loss), disable=not progress, leave=False)
    try:
        while not state.finished:
            for part in (sampler, batches):  # accelerate's loader would set its own count of epochs
                set_epoch = getattr(part, "set_epoch", None)
                if set_epoch is not None:
                    set_epoch(state.epoch)
            train_mode(model)
            left = state.batches(batches, keep=resume is not None)
            for step in _updates(state, wrapped, objective, left, each, total, config):
                log.log(_numbers(history, step), step)
                if after_update is not None:
                    after_update(step)
                schedule.step()
                bar.update()
                if resume is not None and config.save_every and (step + 1) % config.save_every == 0:
                    state.save(resume)
            if validate is not None:
                model.eval()
                _refuse_not_finite(model, len(history.loss))
                score = [validate(model)]
                broadcast_object_list(score)  # all processes go by the main one's
                history.score.append(score[0])
                bar.set_postfix(score=f"{history.score[-1]:.3f}", refresh=False)
                log.log({"score": history.score[-1]}, len(history.loss) - 1)
                if _keep_if_best(state, config.patience):
                    _save(model, checkpoint, accelerator)
            state.epoch, state.done = state.epoch + 1, 0
            state.finished |= state.epoch == config.epochs or len(history.loss) == total
            if resume is not None:
                state.save(resume)
    finally:
        bar.close()
        log.close()
        vars(model).pop("forward", None)
        if own_forward is not None:
            model.forward = own_forward
        if state.best is not None:
            model.load_state_dict(state.best)
        model.eval()
    if state.best is None:
        _save(model, checkpoint, accelerator)
    return history


def _numbers(history: History, step: int) -> dict[str, float]:
    """What is logged of an update."""
    return {
        "loss": history.loss[step],
        "learning_rate": history.lr[step],
        "gradient_norm": history.norm[step],
    }


def _log_again(log: Tracker, history: History, each: int) -> None:
    """All updates so far, and the score after each `each` of them, an epoch."""
    for step in range(len(history.loss)):
        log.log(_numbers(history, step), step)
        epoch, rest = divmod(step + 1, each)
        if rest == 0 and epoch <= len(history.score):
            log.log({"score": history.score[epoch - 1]}, step)


def _updates(
    state: TrainingState,
    model: nn.Module,
    objective: Objective,
    left: Iterator,
    each: int,
    total: int,
    config: FitConfig,
) -> Iterator[int]:
    """The updates of the rest of an epoch, one by one: their numbers."""
    history = state.history
    while state.done < each and len(history.loss) < total:
        size = min(config.accumulate, each - state.done)
        group = itertools.islice(left, size)  # never more: a process would wait for ever
        history.lr.append(float(state.schedule.get_last_lr()[0]))
        loss, norm = update(
            model, objective, group, size, state.optimizer, state.accelerator, config.clip
        )
        history.loss.append(loss)
        history.norm.append(norm)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss} in update {len(history.loss)}: "
                "try a smaller learning rate, more warm-up, or clipping"
            )
        state.done += size
        yield len(history.loss) - 1


def update(
    model: nn.Module,
    objective: Objective,
    batches: Iterable[tuple],
    size: int,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    clip: float,
) -> tuple[float, float]:
    """One update from the mean gradient of `size` batches: the mean of their losses before it, and
    the norm of the gradient before clipping."""
    optimizer.zero_grad()
    mean = 0.0
    for i, batch in enumerate(batches):
        last = i == size - 1  # several processes exchange gradients once an update
        with nullcontext() if last else accelerator.no_sync(model):
            with accelerator.autocast():
                loss = objective(model, batch) / size
            accelerator.backward(loss)
        mean += loss.item()
    norm = accelerator.clip_grad_norm_(model.parameters(), clip or math.inf)
    assert norm is not None  # as it may be under DeepSpeed, which isn't used
    optimizer.step()
    return mean, norm.item()


def _keep_if_best(state: TrainingState, patience: int) -> bool:
    """Whether the newest score is the best so far; its weights are kept then. Otherwise the run is
    finished if no score of the last `patience` epochs was better. NaN is never the best."""
    history, score = state.history, state.history.score[-1]
    first = history.best_epoch < 0 and not math.isnan(score)
    if first or (history.best_epoch >= 0 and score > history.score[history.best_epoch]):
        history.best_epoch = state.epoch
        state.best = copy.deepcopy(state.model.state_dict())
        return True
    state.finished = bool(patience) and state.epoch - history.best_epoch >= patience
    return False


def _refuse_not_finite(model: nn.Module, updates: int) -> None:
    for name, value in model.named_parameters():
        if not value.isfinite().all():
            raise FloatingPointError(
                f"{name} isn't finite after update {updates}: "
                "try a smaller learning rate, more warm-up, or clipping"
            )


def _save(model: nn.Module, path: Path | None, accelerator: Accelerator) -> None:
    if path is None or not accelerator.is_main_process:
        return
    bare = getattr(model, "_orig_mod", model)  # without the prefix of torch.compile's names
    with whole_file(Path(path)) as part:
        save_model(bare, str(part))
