"""Does L_vs help beside few labels? For lesson 06.

    python -m course_utils.studies beside_labels

trains lesson 06's joint encoder on 64 answered colour questions in four ways, at five seeds, and
writes data/studies/beside_labels.json: the share of right answers on the test set, in per cent.
The three ways with 96 rows an update cost the same: 96 labelled ones, or 32 labelled ones and 32
unlabelled ones in two versions each.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
import torch.nn.functional as F

from course_utils.datasets.perturb import perturb
from course_utils.models.heads import AnswerHead
from course_utils.objectives.consistency import consistency, vicreg
from course_utils.studies.collapse import DIM, STEPS, Joint, pictures
from course_utils.studies.runs import Row, Setting, Study
from course_utils.training.fit import warmup_cosine

SEEDS = range(5)
LABELS = 64
# way -> (labelled rows an update, what a tenth is added of on 32 unlabelled rows)
WAYS: dict[str, tuple[int, Callable | None]] = {
    "labels only, 96 rows": (96, None),
    "labels only, 32 rows": (32, None),
    "32 rows, with L_vs": (32, lambda h, h_other, group: 25 * consistency(h, h_other) / DIM),
    "32 rows, with L_vs and its cure": (32, vicreg),
}


def run(way: str, seed: int, steps: int = STEPS) -> Row:
    """Per cent of the test set's colour questions that are answered right."""
    labelled, extra = WAYS[way]
    data = pictures()
    answered = data.train.restrict_answers(data.colours)
    asked = data.test.restrict_answers(data.colours)
    few = torch.randperm(len(answered), generator=torch.Generator().manual_seed(seed))[:LABELS]
    few_images = answered.images[answered.image_index[few]].float() / 255  # (labels, 3, 64, 64)
    few_x, few_mask, few_y = (part[few] for part in (answered.x, answered.mask, answered.y))
    torch.manual_seed(seed)
    model, head = Joint(data.vocab_size), AnswerHead(DIM, len(data.colours))
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, steps // 5, steps)
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(LABELS, (labelled,), generator=generator)  # (labelled,)
        images = perturb(few_images[rows], generator)  # (labelled, 3, 64, 64)
        h = model(images, few_x[rows], few_mask[rows])  # (labelled, dim)
        loss = F.cross_entropy(head(h[:, None]), few_y[rows])  # ()
        if extra is not None:
            images, x, mask, group = data.draw(2, 16, generator)
            images = perturb(images.repeat(2, 1, 1, 1), generator)  # (64, 3, 64, 64)
            both = model(images, x.repeat(2, 1), mask.repeat(2, 1))  # (64, dim)
            loss = loss + 0.1 * extra(*both.chunk(2), group)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    head.eval()
    with torch.no_grad():
        h = model(asked.images[asked.image_index].float() / 255, asked.x, asked.mask)
        right = (head(h[:, None]).argmax(1) == asked.y).double().mean().item()
    return dict(way=way, seed=seed, right=round(100 * right, 2))


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for seed, way in product(seeds, WAYS):
        yield dict(way=way, seed=seed)


STUDY = Study(
    measures="lesson 06: does L_vs help beside 64 labels?",
    takes="three minutes",
    columns={"way": WAYS, "seed": None},
    seeds=SEEDS,
    settings=settings,
    run=run,
)
