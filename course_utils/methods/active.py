"""Which answers to ask for: entropy, margin and diversity, and a pool as a camera fills it."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_utils.datasets import VQAData, perturb
from course_utils.evaluation.evaluate import predict_logits, representations
from course_utils.models.vqa import VQAModel

# Scores of questions: the larger, the rather its answer is asked for


def entropy(logits: Float[Tensor, "n answers"]) -> Float[Tensor, " n"]:
    """-sum p log p, in nat: how much of the answer is open to the model."""
    return torch.special.entr(logits.softmax(-1)).sum(-1)  # an answer that is ruled out adds 0


def margin(logits: Float[Tensor, "n answers"]) -> Float[Tensor, " n"]:
    """1 - (p of the likeliest answer - p of the second): 1 where two answers are equally likely."""
    first, second = logits.softmax(-1).topk(2).values.unbind(-1)  # (n,) each
    return 1 - (first - second)


def highest(
    scores: Float[Tensor, " n"], free: Bool[Tensor, " n"], count: int
) -> Int[Tensor, " count"]:
    """The `count` free ones with the highest scores.

    Raises:
        ValueError: fewer than `count` are free.
    """
    _enough(free, count)
    return scores.masked_fill(~free, -torch.inf).argsort(descending=True, stable=True)[:count]


def farthest(
    points: Float[Tensor, "n dim"], bought: Bool[Tensor, " n"], free: Bool[Tensor, " n"], count: int
) -> Int[Tensor, " count"]:
    """Again and again the free point that is farthest from its nearest bought or chosen one: greedy
    k-centre (Sener and Savarese, arXiv 1708.00489, algorithm 1).

    Raises:
        ValueError: fewer than `count` are free, or nothing has been bought.
    """
    _enough(free, count)
    if not bought.any():
        raise ValueError("bought: expected at least one point to be far from, got none")
    nearest = torch.cdist(points, points[bought]).min(1).values  # (n,)
    nearest, chosen = nearest.masked_fill(~free, -torch.inf), []
    for _ in range(count):
        i = int(nearest.argmax())
        chosen.append(i)
        nearest = torch.minimum(nearest, (points - points[i]).norm(dim=1))  # (n,)
        nearest[i] = -torch.inf
    return torch.tensor(chosen)


def _enough(free: Tensor, count: int) -> None:
    if not 0 < count <= int(free.sum()):
        raise ValueError(f"count: expected 1 to {int(free.sum())}, the free ones, got {count}")


# Strategies: (model, pool, bought (n,) bool, count, generator) -> `count` rows of the pool

Strategy = Callable[[VQAModel, VQAData, Tensor, int, torch.Generator], Tensor]


def at_random(
    model: VQAModel, pool: VQAData, bought: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    return highest(torch.rand(len(pool), generator=generator), ~bought, count)


def evenly(
    model: VQAModel, pool: VQAData, bought: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """As many of each family, at random within it: a control that looks at no answer of the model.
    Fewer than `count` where it is no multiple of the number of families."""
    luck = torch.rand(len(pool), generator=generator)  # (n,)
    families = pool.family.unique()
    return torch.cat(
        [highest(luck, ~bought & (pool.family == f), count // len(families)) for f in families]
    )


def in_the_mix_of(strategy: Strategy) -> Strategy:
    """As many of each family as `strategy` would buy in this place, at random within it."""

    def strategy_of_mix(
        model: VQAModel, pool: VQAData, bought: Tensor, count: int, generator: torch.Generator
    ) -> Tensor:
        families = pool.family[strategy(model, pool, bought, count, generator)]  # (count,)
        luck = torch.rand(len(pool), generator=generator)  # (n,)
        return torch.cat(
            [
                highest(luck, ~bought & (pool.family == f), int((families == f).sum()))
                for f in families.unique()
            ]
        )

    return strategy_of_mix


def by_entropy(model: VQAModel, pool: VQAData, bought: Tensor, count: int, _) -> Tensor:
    return highest(entropy(predict_logits(model, pool)), ~bought, count)


def by_margin(model: VQAModel, pool: VQAData, bought: Tensor, count: int, _) -> Tensor:
    return highest(margin(predict_logits(model, pool)), ~bought, count)


def by_distance(model: VQAModel, pool: VQAData, bought: Tensor, count: int, _) -> Tensor:
    return farthest(representations(model, pool), bought, ~bought, count)


def entropy_then_distance(
    model: VQAModel, pool: VQAData, bought: Tensor, count: int, _, candidates: int
) -> Tensor:
    """Farthest from each other among the `candidates` * `count` most uncertain."""
    doubted = torch.zeros_like(bought)  # (n,)
    doubted[highest(entropy(predict_logits(model, pool)), ~bought, candidates * count)] = True
    return farthest(representations(model, pool), bought, doubted, count)


# A pool


def filmed(data: VQAData, scenes: int, frames: int, seed: int) -> tuple[VQAData, Int[Tensor, " n"]]:
    """`data` as a camera delivers it: each of the first `scenes` pictures comes `frames` times, a
    pixel further and with other noise, with all its questions. Returns also the number, in `data`,
    of the question that each one is a copy of.

    Raises:
        ValueError: there are fewer pictures than `scenes`, or `frames` is below 1.
    """
    if not 0 <= scenes <= len(data.images) or frames < 1:
        raise ValueError(
            f"expected up to {len(data.images)} scenes and 1 or more frames, got "
            f"{scenes} and {frames}"
        )
    times = torch.where(torch.arange(len(data.images)) < scenes, frames, 1)  # (pictures,)
    original = torch.arange(len(data.images)).repeat_interleave(times)  # (new pictures,)
    images = data.images[original].float() / 255  # (new pictures, 3, height, width)
    generator = torch.Generator().manual_seed(seed)
    images = perturb.noise(perturb.shift(images, 1, generator), 0.02, generator)
    number = [(data.image_index == i).nonzero()[:, 0] for i in range(len(data.images))]
    rows = torch.cat([number[i] for i in original.tolist()])  # (n,) rows of `data`
    # (n,)
    picture = torch.cat([torch.full((len(number[i]),), k) for k, i in enumerate(original.tolist())])
    copied = replace(
        data,
        questions=tuple(data.questions[i] for i in rows.tolist()),
        x=data.x[rows],
        mask=data.mask[rows],
        y=data.y[rows],
        family=data.family[rows],
        image_index=picture,
        images=(images * 255).round().to(torch.uint8),
    )
    return copied, rows
