"""What makes lesson 08's recipe faster, one idea at a time, and all that help together.

    python -m bench.ideas                     measures what bench/ideas.json lacks
    python -m bench.ideas --seeds 0 1         these seeds only
    python -m bench.ideas --ideas muon fast   these ideas only

Each run trains on easy-VQA until 99.5 % of the validation questions are right after a pass, or
until its passes are over; the test set is used once, afterwards. Seconds are processor time of one
thread. While it trains, a run measures now and then, outside of its own time, an update of today's
recipe: on a machine that does other things too, times are compared in such updates.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import ViltConfig, ViltModel

from bench.speed import GOAL, SpeedConfig, WhitenedStem, fast_model, learn, optimizers
from course_utils.datasets import VQAData, load_easy_vqa, loader
from course_utils.evaluation.evaluate import evaluate
from course_utils.methods.answering import easy_vqa_model
from course_utils.models.fusion import CrossAttentionEncoder, TwoTowerEncoder
from course_utils.objectives.classification import cross_entropy
from course_utils.studies.recipes import EASY_VQA_FIT, IMAGES_PER_BATCH
from course_utils.studies.runs import Row, Setting, Study, complete, read_runs
from course_utils.training.fit import make_optimizer, parameter_groups
from course_utils.training.objective import answer_objective

FILE = Path(__file__).with_name("ideas.json")
SEEDS = range(5)
TODAY = SpeedConfig(EASY_VQA_FIT.epochs, EASY_VQA_FIT.lr, 0.0, EASY_VQA_FIT.warmup)


@dataclass(frozen=True)
class Idea:
    """One change to lesson 08's recipe."""

    what: str  # in a line, for the table
    config: SpeedConfig = TODAY
    model: Callable[[VQAData], nn.Module] = easy_vqa_model
    optimizers: Callable[[nn.Module, SpeedConfig], list] | None = None  # None: as `fit` has it
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
    average: float = 0.0  # decay of the average of weights that is judged; 0 for none


class HalfSide(nn.Module):
    """A stem that sees the mean of every 2x2 pixels."""

    def __init__(self, stem: nn.Module):
        super().__init__()
        self.stem = stem

    def forward(self, images: Tensor) -> Tensor:
        return self.stem(F.avg_pool2d(images, 2))  # (images, patches, dim)


class Largest(nn.Module):
    """A stem with one patch: the largest value of each channel of another stem."""

    def __init__(self, stem: nn.Module):
        super().__init__()
        self.stem = stem

    def forward(self, images: Tensor) -> Tensor:
        return self.stem(images).amax(1, keepdim=True)  # (images, 1, dim)


def changed(data: VQAData, stem=None, encoder=None, **sizes) -> nn.Module:
    """Lesson 08's model with another stem (made from the old one), encoder or sizes."""
    model = easy_vqa_model(data)
    config = replace(model.encoder.config, **sizes)
    if encoder is not None or sizes:
        model.encoder = (encoder or type(model.encoder))(config)
    if stem is not None:
        model.stem = stem(model.stem)
    return model


def whitened(data: VQAData) -> nn.Module:
    """The first stage, with its pooling, becomes a fixed whitening of 2x2 pixels."""
    return changed(data, lambda old: WhitenedStem(data.images, (32, 64, 64), patches=16))


def channels_last(data: VQAData) -> nn.Module:
    return easy_vqa_model(data).to(memory_format=torch.channels_last)


def half_side(data: VQAData) -> nn.Module:
    """Its last stage no longer halves the side, so that 16 patches remain."""
    model = changed(data, HalfSide)
    del model.stem.stem.blocks[-1][-1]
    model.stem.stem.stages -= 1
    return model


def compiled(data: VQAData) -> nn.Module:
    model = easy_vqa_model(data)
    model.stem.compile()
    model.encoder.compile(dynamic=True)
    return model


class Vilt(nn.Module):
    """transformers' ViltModel of lesson 08's sizes, with a stem of patches and the same head."""

    def __init__(self, data: VQAData):
        super().__init__()
        ours = easy_vqa_model(data)
        self.head, sizes = ours.head, ours.encoder.config
        self.vilt = ViltModel(
            ViltConfig(
                vocab_size=sizes.vocab_size,
                hidden_size=sizes.dim,
                num_hidden_layers=sizes.layers,
                num_attention_heads=sizes.heads,
                intermediate_size=sizes.mlp_dim,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                image_size=64,
                patch_size=16,
                max_image_length=-1,
                max_position_embeddings=sizes.max_words,
            ),
            add_pooling_layer=False,
        )

    def forward(self, images: Tensor, image_index: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        h = self.vilt(
            input_ids=x, attention_mask=mask.long(), pixel_values=images[image_index]
        ).last_hidden_state  # (batch, positions, dim)
        return self.head(h)  # (batch, answers)


def as_today(model: nn.Module, config: SpeedConfig, **options) -> list:
    """AdamW as `fit` makes it, with other options of torch's."""
    groups = parameter_groups(model, EASY_VQA_FIT.weight_decay)
    return [torch.optim.AdamW(groups, config.lr, (EASY_VQA_FIT.momentum, 0.98), **options)]


def running_average(model: nn.Module, decay: float) -> AveragedModel:
    """An average of weights and of the statistics of batch normalisation."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


IDEAS = {
    "today": Idea("lesson 08's recipe"),
    "fused": Idea("AdamW's fused update", optimizers=partial(as_today, fused=True)),
    "rate": Idea("AdamW at twice the rate", replace(TODAY, lr=2e-3)),
    "muon": Idea(
        "Muon for matrices and convolutions", replace(TODAY, muon=1e-2), optimizers=optimizers
    ),
    "channels_last": Idea("channels-last layout", model=channels_last),
    "whitened": Idea("fixed, whitened first convolution of 2x2 pixels", model=whitened),
    "half_side": Idea("pictures of 32x32", model=half_side),
    "largest": Idea(
        "one token a picture: the largest values", model=partial(changed, stem=Largest, patches=1)
    ),
    "one_layer": Idea("one layer", model=partial(changed, layers=1)),
    "cross": Idea(
        "one layer of cross-attention",
        model=partial(changed, encoder=CrossAttentionEncoder, layers=1),
    ),
    "towers": Idea("words and picture in towers", model=partial(changed, encoder=TwoTowerEncoder)),
    "certain": Idea("certain questions asked again one time in five", replace(TODAY, keep=0.2)),
    "smoothing": Idea("labels smoothed by 0.1", loss=partial(F.cross_entropy, label_smoothing=0.1)),
    "average": Idea("running average of weights, decay 0.99", average=0.99),
    "batch_16": Idea("16 pictures an update", replace(TODAY, images_per_batch=16)),
    "short": Idea("five passes instead of seven", replace(TODAY, passes=5)),
    "compiled": Idea("torch.compile, its time included", model=compiled),
    "fast": Idea("all that help", SpeedConfig(), fast_model, optimizers),
    "vilt": Idea("transformers' ViltModel of the same size, lesson 08's recipe", model=Vilt),
}


@cache
def easy_vqa() -> tuple[VQAData, VQAData, VQAData]:
    """Training, validation, test."""
    whole = load_easy_vqa("train")
    return *whole.split_by_image(0.1, seed=0), load_easy_vqa("test", whole.tokenizer, whole.answers)


class Clock:
    """Seconds of a run on this thread, and those of updates of today's recipe in between."""

    def __init__(self):
        train = easy_vqa()[0]
        with torch.random.fork_rng():
            self.model = easy_vqa_model(train).train()
        self.optimizer = make_optimizer(self.model, EASY_VQA_FIT)
        self.batch = next(iter(loader(train, IMAGES_PER_BATCH)))
        self.updates = []
        self._update()  # to warm up
        self.seconds, self.start, self.updates = 0.0, time.thread_time(), []

    def _update(self) -> None:
        start = time.thread_time()
        self.optimizer.zero_grad()
        answer_objective(self.model, self.batch).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), EASY_VQA_FIT.clip)
        self.optimizer.step()
        self.updates.append(time.thread_time() - start)

    def look(self, every: float = 1.0) -> float:
        """Seconds so far; measures an update if the last one is `every` seconds ago."""
        now = time.thread_time() - self.start
        if now >= every:
            self.seconds += now
            self._update()
            self.start, now = time.thread_time(), 0.0
        return self.seconds + now


def run(idea: str, seed: int) -> Row:
    """Passes, seconds, the scores after each pass, and the test score of the finished run."""
    chosen = IDEAS[idea]
    train, validation, test = easy_vqa()
    clock = Clock()
    torch.manual_seed(seed)
    model = chosen.model(train)
    stepped = (chosen.optimizers or as_today)(model, chosen.config)
    judged = running_average(model, chosen.average) if chosen.average else model

    def after(done: float) -> None:
        if chosen.average:
            judged.update_parameters(model)
        clock.look()

    scores = learn(
        model,
        stepped,
        train,
        lambda _: evaluate(judged, validation).accuracy,
        chosen.config,
        seed,
        chosen.loss,
        after,
    )
    seconds = clock.look(every=0.0)
    return dict(
        idea=idea,
        seed=seed,
        seconds=round(seconds, 2),
        update=round(statistics.mean(clock.updates), 5),
        scores=[round(score, 5) for score in scores],
        test=evaluate(judged, test).accuracy,
    )


def settings(ideas: Sequence[str], seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, idea in product(seeds, ideas):  # all ideas beside each other, seed by seed
        yield dict(idea=idea, seed=seed)


def study(ideas: Sequence[str] = tuple(IDEAS)) -> Study:
    return Study(
        measures="time to 99.5 % of easy-VQA's validation questions",
        takes="an hour and a half",
        columns={"idea": IDEAS, "seed": None},
        seeds=SEEDS,
        settings=partial(settings, ideas),
        run=run,
    )


def updates(row: Row) -> float:
    """The time of a run, in updates of today's recipe on the same thread in the same minutes."""
    return row["seconds"] / row["update"]


def reached(row: Row) -> bool:
    return row["scores"][-1] >= GOAL


def plus_minus(values: Sequence[float], digits: int) -> str:
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def summary(rows: Sequence[Row]) -> list[list]:
    """A row of the table for each idea: runs, time as a share of today's mean time, passes, how
    many runs reached the goal, the lowest test score."""
    today = [updates(r) for r in rows if r["idea"] == "today"]
    lines = []
    for name, idea in IDEAS.items():
        mine = [r for r in rows if r["idea"] == name]
        if not mine or not today:
            lines.append([idea.what, len(mine), *["not measured"] * 4])
            continue
        times = [updates(r) / statistics.mean(today) for r in mine]
        passes = plus_minus([len(r["scores"]) for r in mine], 1)
        share = f"{sum(map(reached, mine))} of {len(mine)}"
        lowest = f"{100 * min(r['test'] for r in mine):.2f}"
        lines.append([idea.what, len(mine), plus_minus(times, 2), passes, share, lowest])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--ideas", nargs="+", choices=IDEAS, default=tuple(IDEAS), metavar="IDEA")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    complete(study(options.ideas), options.out, options.seeds, "python -m bench.ideas")
    for line in summary(read_runs(options.out)):
        print(" | ".join(str(cell) for cell in line))


if __name__ == "__main__":
    main()
