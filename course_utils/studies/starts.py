"""Does training without labels save labels? For lesson 06.

    python -m course_utils.studies starts

tunes lesson 06's joint encoder on 64 answered colour questions, from four starts, at three seeds,
and writes data/studies/starts.json: per cent right of the run's own 64 questions and of the test
set's colour questions. A training without labels passes 25,600 rows through the network, as many as
800 updates here: so 400 updates behind it cost what 1,200 from an untrained network cost.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.datasets.perturb import perturb
from course_utils.models.heads import AnswerHead
from course_utils.studies.collapse import DIM, OBJECTIVES, STEPS, Joint, pictures, pretrain, trained
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import warmup_cosine

SEEDS = range(3)
LABELS, BATCH = 64, 32  # answered questions, and how many of them an update sees
SHORT, LONG = 400, 1200  # updates
SMALL = "VICReg given x, 64 pictures"  # trained on the pictures of the 64 questions only
RUNS = (  # (start, updates)
    ("untrained", SHORT),
    ("untrained", LONG),
    ("L_vs alone", SHORT),
    ("VICReg given x", SHORT),
    (SMALL, SHORT),
)


def first(start: str, seed: int, few_images: Tensor, steps: int = STEPS) -> Joint:
    """The network that a run starts from."""
    if start == "untrained":
        return pretrain(OBJECTIVES["start"], seed)
    if start == SMALL:
        return pretrain(OBJECTIVES["VICReg given x"], seed, steps, few_images)
    model = Joint(pictures().vocab_size)
    model.load_state_dict(trained(start, seed, steps).state_dict())
    return model


def run(start: str, updates: int, seed: int, steps: int = STEPS) -> Row:
    """Per cent right of the own answers and of the test set's colour questions."""
    data = pictures()
    answered = data.train.restrict_answers(data.colours)
    asked = data.test.restrict_answers(data.colours)
    few = torch.randperm(len(answered), generator=torch.Generator().manual_seed(seed))[:LABELS]
    images = answered.images[answered.image_index[few]].float() / 255  # (labels, 3, 64, 64)
    x, mask, y = (part[few] for part in (answered.x, answered.mask, answered.y))
    model = first(start, seed, images, steps).train()
    torch.manual_seed(seed)
    head = AnswerHead(DIM, len(data.colours))
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, updates // 5, updates)
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(updates):
        rows = torch.randint(LABELS, (BATCH,), generator=generator)  # (batch,)
        h = model(perturb(images[rows], generator), x[rows], mask[rows])  # (batch, dim)
        optimizer.zero_grad()
        F.cross_entropy(head(h[:, None]), y[rows]).backward()
        optimizer.step()
        schedule.step()
    model.eval()
    head.eval()

    @torch.no_grad()
    def right(images: Tensor, x: Tensor, mask: Tensor, y: Tensor) -> float:
        found = head(model(images, x, mask)[:, None]).argmax(1) == y  # (questions,)
        return round(100 * found.double().mean().item(), 2)

    test_images = asked.images[asked.image_index].float() / 255  # (questions, 3, 64, 64)
    return dict(
        start=start,
        updates=updates,
        seed=seed,
        own=right(images, x, mask, y),
        test=right(test_images, asked.x, asked.mask, asked.y),
    )


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed in seeds:
        for start, updates in RUNS:
            yield dict(start=start, updates=updates, seed=seed)


STUDY = Study(
    measures="lesson 06: 64 labels, tuned from four starts",
    takes="four minutes",
    columns={"start": dict.fromkeys(start for start, _ in RUNS), "updates": None, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)
