"""What the tuning curve leaves open. For lesson 11.

    python -m course_utils.studies tuning_controls

adds to the set-up of `course_utils.studies.tuning_curve` what its table can't tell: a learning rate
of the head's own, and a fifth rate for what was best at the fourth. Each row also tells how many
masked words of captions the tuned model still guesses, which it could before it was tuned; for "all
weights", also how much of the change of the matrices fits into low rank. Writes
data/studies/tuning_controls.json.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from course_utils.datasets.files import data_path
from course_utils.datasets.pairs import load_captions, pair_tokenizer
from course_utils.datasets.text import MASK, token_id
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import base_model
from course_utils.methods.pretraining import guessable, world_pretraining_model
from course_utils.models.vqa import VQAModel
from course_utils.models.weights import load_weights
from course_utils.peft import count_parameters
from course_utils.studies import tuning_curve
from course_utils.studies.runs import Row, Setting, Study

SEEDS = tuning_curve.SEEDS
# method, learning rate, the head's own rate, seeds; in the order in which they are measured. A rate
# beyond the edge is tried at one seed: whether the curve turns is all that is asked.
MEASURED = (
    ("LoRA 4", 1e-2, 3e-2, SEEDS),
    ("all weights", 3e-3, 3e-2, SEEDS),
    ("LoRA 1", 1e-1, 1e-1, (0,)),
    ("LoRA 4, queries and values", 1e-1, 1e-1, (0,)),
)
RANKS = ("1", "4", "16", "32")  # of a matrix; its full rank is 64
METHODS = dict.fromkeys(method for method, *_ in MEASURED)
WEIGHTS = "checkpoints/world_pretrained.safetensors"


def faster_head(head: nn.Module, factor: float) -> Callable[[int], None]:
    """For `after_update`: the head's weights go `factor` times as far in each update. Adam's step
    is proportional to its rate, and so is AdamW's decay: it is a rate of `factor` times as much."""
    before = [p.detach().clone() for p in head.parameters()]

    @torch.no_grad()
    def after_update(step: int) -> None:
        for p, old in zip(head.parameters(), before):
            p.add_((factor - 1) * (p - old))
            old.copy_(p)

    return after_update


@cache
def masked_captions(scenes: int = 200) -> dict[str, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """For each language: pictures (n, 3, height, width), token ids (n, words) of a caption of each
    and their mask, and the one position (n,) that is to be guessed."""
    found = {}
    for language in ("en", "zh"):
        data = load_captions("composition", "validation", scenes, 1, (language,), 1)
        x, mask = data.x[data.own[:, 0]], data.mask[data.own[:, 0]]  # (scenes, words) each
        maskable = mask & (guessable(data)[x] >= 0)  # (scenes, words)
        lots = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))  # (scenes, words)
        at = lots.masked_fill(~maskable, -1).argmax(1)  # (scenes,)
        found[language] = data.images, x, mask, at
    return found


@torch.no_grad()
def words_known(model: VQAModel, language: str) -> float:
    """The share of masked words of captions that the stem and the encoder of `model` let the head
    of the pretraining guess."""
    pretrained = load_weights(world_pretraining_model(pair_tokenizer()), data_path(WEIGHTS)).eval()
    images, x, mask, at = masked_captions()[language]
    rows = torch.arange(len(x))
    shown = x.clone()  # (n, words)
    shown[rows, at] = token_id(pair_tokenizer(), MASK)
    model.eval()
    h = model.encoder(shown, model.stem(images.float() / 255), mask)  # (n, positions, dim)
    guess = pretrained.word_logits(h[rows, at]).argmax(1)  # (n,)
    return (guess == x[rows, at]).double().mean().item()


def change_in_rank(model: VQAModel, before: VQAModel, ranks: Sequence[int]) -> list[float]:
    """How much of the squared change of the encoder's matrices, since `before`, the best
    approximation of each rank holds: the mean over the matrices, of which a qkv holds three."""
    shares = []
    old = dict(before.named_parameters())
    for name, now in model.named_parameters():
        if now.ndim == 2 and name.startswith("encoder.encoder.layers."):
            delta = (now - old[name]).detach()  # (out, in)
            for part in delta.chunk(3 if "qkv" in name else 1):
                squares = torch.linalg.svdvals(part).square()  # (min(out, in),) falling
                shares.append(squares.cumsum(0) / squares.sum())
    return [torch.stack([s[rank - 1] for s in shares]).mean().item() for rank in ranks]


def run(method: str, rate: float, head_rate: float, seed: int) -> Row:
    """Validation and test accuracy of one tuning, on its own training questions too, and the words
    that it still knows."""
    train = tuning_curve.questions("train", tuning_curve.LABELS // 4, 100 + seed)
    validation = tuning_curve.questions("validation", 100)
    model = base_model(len(train.answers), data_path(WEIGHTS), seed)
    tuning_curve.prepare(model, method)
    counts = count_parameters(model)
    faster = None if head_rate == rate else faster_head(model.head, head_rate / rate)
    before = copy.deepcopy(model)
    history = tuning_curve.tune(model, method, train, validation, rate, seed, faster)
    row = dict(
        method=method,
        rate=rate,
        head_rate=head_rate,
        seed=seed,
        trainable=counts.trainable,
        validation=max(history.score),
        own=evaluate(model, train).accuracy,
        accuracy=evaluate(model, tuning_curve.questions("test", 500)).accuracy,
        words={language: words_known(model, language) for language in ("en", "zh")},
    )
    if method == "all weights":
        row["change"] = dict(zip(RANKS, change_in_rank(model, before, [int(r) for r in RANKS])))
    return row


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for method, rate, head_rate, some in MEASURED:
        for seed in some:
            yield dict(method=method, rate=rate, head_rate=head_rate, seed=seed)


STUDY = Study(
    measures="lesson 11: controls of the tuning curve, and what tuning forgets",
    takes="five minutes",
    columns={"method": METHODS, "rate": None, "head_rate": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)
