"""Tuning a captioner by a reward for whole sentences that it wrote itself."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from course_utils.datasets.captions import PAD, prompt_ids, world_words
from course_utils.methods.captioning import MOST, token_log_p, write_ids
from course_utils.methods.generation import Sample
from course_utils.models.captioner import Captioner
from course_utils.objectives.policy import group_advantages, kl_estimate, policy_loss
from course_utils.training.fit import warmup_cosine

Reward = Callable[[str, int], float]  # (text, number of the picture) -> reward


@dataclass(frozen=True)
class RewardConfig:
    """How a captioner is tuned by a reward."""

    updates: int = 120
    pictures: int = 16  # of an update
    group: int = 8  # texts drawn for each picture
    lr: float = 5e-4
    warmup: float = 0.1  # share of the updates in which the rate rises
    kl: float = 0.0  # weight of the distance from the model at the start
    normalise: bool = False  # True: divide by the group's deviation, as GRPO does
    clip: float = 1.0  # largest norm of a gradient

    def __post_init__(self) -> None:
        if self.updates < 1 or self.pictures < 1 or self.group < 2 or self.kl < 0:
            raise ValueError(
                "expected updates and pictures of at least 1, a group of at least 2 and kl >= 0, "
                f"got {self.updates}, {self.pictures}, {self.group} and {self.kl}"
            )


@dataclass
class RewardHistory:
    """Of each update: mean reward, distance from the start, norm of the gradient, and the value of
    the loss; and the share of groups whose rewards are all equal, which teach nothing."""

    reward: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    norm: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    silent: list[float] = field(default_factory=list)


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """(texts, words) token ids, with [PAD] behind."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])


def with_prompt(prompt: str, written: Sequence[Sequence[int]], end: int) -> Tensor:
    """(texts, words) token ids of prompt and text, each up to its first `end`."""
    first = prompt_ids(prompt)[0].tolist()
    cut = [list(r[: r.index(end) + 1]) if end in r else list(r) for r in map(list, written)]
    return padded([first + row for row in cut])


def tune_by_reward(
    model: Captioner,
    v: Tensor,
    prompt: str,
    reward: Reward,
    config: RewardConfig = RewardConfig(),
    seed: int = 0,
    advantages: Callable[[Tensor], Tensor] | None = None,
    progress: bool = True,
) -> RewardHistory:
    """Tunes `model` in place: each update writes `config.group` texts about each of some pictures
    at temperature 1, and makes those more likely that got more reward than their group's mean.

    Args:
        v: (pictures, patches, visual_dim) features; `reward` gets the row of a picture here.
        advantages: (pictures, group) rewards -> advantages; `group_advantages` when None.
    """
    generator = torch.Generator().manual_seed(seed)
    choose, end = Sample(generator), world_words().names.index("[END]")
    start = copy.deepcopy(model).eval().requires_grad_(False) if config.kl else None
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: warmup_cosine(step, round(config.warmup * config.updates), config.updates),
    )
    history = RewardHistory()
    for _ in tqdm(range(config.updates), disable=not progress, leave=False):
        chosen = torch.randint(len(v), (config.pictures,), generator=generator)
        picture = chosen.repeat_interleave(config.group)  # (texts,) a group stands together
        written = write_ids(model, v[picture], prompt, choose, MOST)
        r = torch.tensor(
            [reward(world_words().text(row), int(i)) for row, i in zip(written, picture)]
        ).view(config.pictures, config.group)
        if advantages is None:
            a = group_advantages(r, config.normalise).flatten()  # (texts,)
        else:
            a = advantages(r).flatten()  # (texts,)
        x = with_prompt(prompt, written, end)  # (texts, words)
        log_p, told = token_log_p(model, v[picture], x, x != PAD)  # (texts, words - 1) each
        loss = policy_loss(log_p, told, a)
        distance = torch.zeros(())
        if start is not None:
            with torch.no_grad():
                before, _ = token_log_p(start, v[picture], x, x != PAD)
            distance = kl_estimate(log_p, before, told)
        optimizer.zero_grad()
        (loss + config.kl * distance).backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, config.clip)
        optimizer.step()
        schedule.step()
        history.reward.append(r.mean().item())
        history.kl.append(distance.item())
        history.norm.append(norm.item())
        history.loss.append(loss.item())
        history.silent.append((r == r[:, :1]).all(1).double().mean().item())
    return history
