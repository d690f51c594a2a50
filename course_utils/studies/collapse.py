"""What is left of the picture in h after training without labels? For lesson 06.

    python -m course_utils.studies collapse

trains lesson 06's joint encoder with the lesson's objectives and their controls, at three seeds,
and writes data/studies/collapse.json: the indicators of collapse, and what a linear probe reads
from h. In all else the runs are the lesson's.

"4 x 16" means batches of 4 questions with 16 pictures each instead of 64 questions with one; "given
x" means that the objective compares rows of the same question only.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from course_utils.datasets import VQAData, load_easy_vqa
from course_utils.datasets.perturb import perturb, perturb_colour
from course_utils.datasets.text import encode
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.vision import PatchStem
from course_utils.objectives import indicators
from course_utils.objectives.consistency import (
    Predictor,
    centre,
    consistency,
    info_nce,
    simsiam,
    vicreg,
)
from course_utils.studies.runs import Row, Setting, Study

DIM = 64
STEPS = 200
SEEDS = range(3)


@dataclass(frozen=True)
class Objective:
    """What is minimised, and on which batches."""

    loss: Callable | None  # (h, h_other, group, predictor) -> tensor (); None: not trained
    questions: int = 64  # different questions in a batch, drawn at random
    pictures: int = 1  # pictures for each of them
    change: Callable = perturb  # v to v'


def simsiam_given_words(h: Tensor, h_other: Tensor, group: Tensor, predictor: nn.Module) -> Tensor:
    """SimSiam of what is left of h once the mean of its question is subtracted."""
    return simsiam(centre(h, group)[0], centre(h_other, group)[0], predictor)


OBJECTIVES = {
    "start": Objective(None),
    "L_vs alone": Objective(lambda h, h_other, group, p: consistency(h, h_other)),
    "VICReg": Objective(lambda h, h_other, group, p: vicreg(h, h_other)),
    "VICReg, 4 x 16": Objective(lambda h, h_other, group, p: vicreg(h, h_other), 4, 16),
    "VICReg given x": Objective(lambda h, h_other, group, p: vicreg(h, h_other, group), 4, 16),
    "colours mixed": Objective(
        lambda h, h_other, group, p: vicreg(h, h_other, group), 4, 16, change=perturb_colour
    ),
    "SimSiam": Objective(lambda h, h_other, group, p: simsiam(h, h_other, p)),
    "SimSiam given x": Objective(simsiam_given_words, 4, 16),
    "InfoNCE": Objective(lambda h, h_other, group, p: info_nce(h, h_other)),
    "InfoNCE, 4 x 16": Objective(lambda h, h_other, group, p: info_nce(h, h_other), 4, 16),
    "InfoNCE given x": Objective(lambda h, h_other, group, p: info_nce(h, h_other, group), 4, 16),
}


class Pictures:
    """Pictures and questions of easy-VQA without their answers, and what h is measured on."""

    def __init__(self):
        whole = load_easy_vqa("train")
        self.train, self.held_out = whole.split_by_image(0.1, seed=0)
        self.test = load_easy_vqa("test", whole.tokenizer, whole.answers)
        self.vocab_size = whole.tokenizer.get_vocab_size()
        questions = sorted(set(whole.questions))
        self.x, self.mask = encode(whole.tokenizer, questions)  # (questions, words) each
        self.images = self.train.images.float() / 255  # (images, 3, 64, 64)
        others = ("yes", "no", "circle", "rectangle", "triangle")
        self.colours = tuple(a for a in whole.answers if a not in others)
        self.colour_question = questions.index("what color is the shape?")
        held_out = self.held_out.images.float() / 255  # (images, 3, 64, 64)
        chooser = torch.Generator().manual_seed(7)
        self.grid_questions = torch.randperm(len(questions), generator=chooser)[:12]
        self.grid_images = held_out[:64]  # (64, 3, 64, 64)
        self.mixed = torch.randint(len(questions), (256,), generator=chooser)
        chosen = torch.randint(len(held_out), (256,), generator=chooser)  # (256,)
        self.mixed_images = held_out[chosen]  # (256, 3, 64, 64)
        self.grid_other = perturb(self.grid_images, chooser)  # (64, 3, 64, 64)

    def coloured(self, part: VQAData) -> tuple[Tensor, Tensor]:
        """The pictures whose colour is known from an answer (images, 3, 64, 64), and the colours
        (images,)."""
        known = part.restrict_answers(self.colours)
        rows = [int((known.image_index == i).nonzero()[0, 0]) for i in range(len(known.images))]
        return known.images.float() / 255, known.y[rows]

    def draw(
        self,
        questions: int,
        pictures: int,
        generator: torch.Generator,
        images: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A batch without labels: random questions, random pictures for each, of `images` or of all
        the training pictures."""
        images = self.images if images is None else images
        group = torch.randint(len(self.x), (questions,), generator=generator)
        group = group.repeat_interleave(pictures)  # (batch,) question
        chosen = torch.randint(len(images), (len(group),), generator=generator)  # (batch,)
        return images[chosen], self.x[group], self.mask[group], group


class Joint(nn.Module):
    """h of [CLS] for pictures and questions, row by row: lesson 06's network."""

    def __init__(self, vocab_size: int):
        super().__init__()
        config = JointConfig(
            dim=DIM, layers=2, heads=4, mlp_dim=2 * DIM, visual_dim=64, vocab_size=vocab_size
        )
        self.stem = PatchStem(config.visual_dim)
        self.encoder = JointEncoder(config)

    def forward(self, images: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        v = self.stem(images)  # (batch, patches, visual_dim)
        return self.encoder(x, v, mask, keep=1)[:, 0]  # (batch, dim)


@cache
def pictures() -> Pictures:
    """The data, read once."""
    return Pictures()


def pretrain(
    objective: Objective, seed: int, steps: int = STEPS, images: Tensor | None = None
) -> Joint:
    """A fresh network, trained on `objective`, with `images` (images, 3, 64, 64) instead of all."""
    data = pictures()
    torch.manual_seed(seed)
    model, predictor = Joint(data.vocab_size), Predictor(DIM)
    if objective.loss is None:
        return model.eval()
    parameters = [*model.parameters(), *predictor.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01, fused=True)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        batch = (objective.questions, objective.pictures)
        v, x, mask, group = data.draw(*batch, generator, images)
        views = torch.cat([v, objective.change(v, generator)])  # (2 * batch, 3, 64, 64)
        both = model(views, x.repeat(2, 1), mask.repeat(2, 1))  # (2 * batch, dim)
        optimizer.zero_grad()
        objective.loss(*both.chunk(2), group, predictor).backward()
        optimizer.step()
    return model.eval()


@cache
def trained(objective: str, seed: int, steps: int = STEPS) -> Joint:
    """The network of a row, trained once in a process."""
    return pretrain(OBJECTIVES[objective], seed, steps)


@torch.no_grad()
def ask_each(model: Joint, questions: Sequence[int] | Tensor, images: Tensor) -> Tensor:
    """Every question about every picture: h (questions, pictures, dim)."""
    data, n = pictures(), len(images)
    ids = [int(q) for q in questions]
    rows = [model(images, data.x[[q]].expand(n, -1), data.mask[[q]].expand(n, -1)) for q in ids]
    return torch.stack(rows)


def measure(model: Joint) -> dict[str, float]:
    """The indicators, and the colours that a linear probe reads at one fixed question."""
    data = pictures()
    with torch.no_grad():
        mixed = model(data.mixed_images, data.x[data.mixed], data.mask[data.mixed])  # (256, dim)
    grid = ask_each(model, data.grid_questions, data.grid_images)  # (12, 64, dim)
    fit_images, colour = (part[:1200] for part in data.coloured(data.train))
    test_images, test_colour = data.coloured(data.test)
    h, h_new = (
        ask_each(model, [data.colour_question], images)[0].double().numpy()
        for images in (fit_images, test_images)
    )  # (images, dim) each
    line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    line.fit(h, colour.numpy())
    other = ask_each(model, data.grid_questions, data.grid_other)  # (12, 64, dim)
    found = {
        "std": indicators.batch_std(mixed),
        "norm. std": indicators.normalised_std(mixed),
        "eff. rank": indicators.effective_rank(mixed),
        "part. ratio": indicators.participation_ratio(mixed),
        "uniformity": indicators.uniformity(mixed),
        "std, fixed x": indicators.std_given_question(grid),
        "share": 100 * indicators.visual_share(grid),
        "exchange": float(consistency(grid, grid.roll(1, 1)) / consistency(grid, other)),
        "probe": 100 * line.score(h_new, test_colour.numpy()),
    }
    return {name: float(f"{value:.5g}") for name, value in found.items()}


def run(objective: str, seed: int, steps: int = STEPS) -> Row:
    """Trains, and measures h: shares and probes in per cent."""
    return dict(objective=objective, seed=seed, **measure(trained(objective, seed, steps)))


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, objective in product(seeds, OBJECTIVES):
        yield dict(objective=objective, seed=seed)


STUDY = Study(
    measures="lesson 06: what is left of the picture in h after training without labels",
    takes="five minutes",
    columns={"objective": OBJECTIVES, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)
