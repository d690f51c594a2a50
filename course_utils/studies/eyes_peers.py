"""Lesson 14: what the simplest peers of SmolLM2 with eyes get right, without any language model.

    python -m course_utils.studies eyes_peers

"words" gives the most common training answer to the very same question, and sees nothing. "ridge"
is a linear map from the nine visual vectors of an emoji to its kind, in closed form; its penalty is
chosen on the validation emoji, whose families are others. "data" counts the turns that a training
uses. Writes data/studies/eyes_peers.json.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from course_utils.datasets.emoji import load_emoji
from course_utils.datasets.instruction_sources import Source, emoji_kinds, joined, kind_of
from course_utils.methods.eyes import visual_features
from course_utils.models.pretrained import load_efficientnet_lite0
from course_utils.studies.eyes import asked_once, training_sources, training_turns
from course_utils.studies.runs import Row, Setting, Study

PEERS = ("words", "ridge", "data")
PENALTIES = (1e2, 1e3, 1e4, 1e5)


def most_common(train: Source, test: Source) -> dict[str, list[int]]:
    """Of each kind of test turn: how many have the most common training answer to their question,
    and how many there are. A question that training lacks counts as wrong."""
    given: dict[str, Counter[str]] = {}
    for row in train.rows:
        given.setdefault(row.question, Counter())[row.answer] += 1
    best = {question: answers.most_common(1)[0][0] for question, answers in given.items()}
    found: dict[str, list[int]] = {}
    for row, kind in zip(test.rows, test.kinds):
        counts = found.setdefault(kind, [0, 0])
        counts[0] += best.get(row.question) == row.answer
        counts[1] += 1
    return found


def ridge_scores(
    train: Float[Tensor, "pictures dim"],
    y: Int[Tensor, " pictures"],
    test: Float[Tensor, "new dim"],
    penalty: float,
) -> Float[Tensor, "new classes"]:
    """Scores of a linear map that is fitted to one-hot answers by ridge regression. It is solved in
    the space of the pictures, which are fewer than the features."""
    mean = train.mean(0)  # (dim,)
    targets = F.one_hot(y).double()  # (pictures, classes)
    middle = targets.mean(0)  # (classes,)
    seen, new = (train - mean).double(), (test - mean).double()
    gram = seen @ seen.T + penalty * torch.eye(len(y), dtype=torch.double)  # (pictures, pictures)
    return middle + new @ seen.T @ torch.linalg.solve(gram, targets - middle)


def emoji_features(part: str) -> tuple[Tensor, Tensor]:
    """(pictures, 9 * 1280) features of the emoji of a part, and (pictures,) numbers of kinds."""
    emoji, names = load_emoji(part), emoji_kinds(load_emoji("train"))
    v = visual_features(f"eyes-peers-{part}", emoji.images, load_efficientnet_lite0())
    y = torch.tensor([names.index(kind_of(category)) for category in emoji.categories])
    return v.float().flatten(1), y


def ridge() -> Row:
    """Right kinds of test emoji, with the penalty that is best for the validation emoji."""
    train, validation, test = map(emoji_features, ("train", "validation", "test"))

    def right(part: tuple[Tensor, Tensor], penalty: float) -> int:
        scores = ridge_scores(*train, part[0], penalty)  # (pictures, kinds)
        return int((scores.argmax(1) == part[1]).sum())

    penalty = max(PENALTIES, key=lambda one: right(validation, one))
    return {"penalty": penalty, "marks": {"emoji kind": [right(test, penalty), len(test[1])]}}


def used_turns() -> dict[str, int]:
    """How many turns of each source the training at seed 0 uses, some of them more than once."""
    source = joined(training_sources())
    kind_of_row = {id(row): kind.split(" ")[0] for row, kind in zip(source.rows, source.kinds)}
    turns = training_turns(source, 0)
    return dict(Counter(kind_of_row[id(row)] for some in turns for row in some))


def run(peer: str, seed: int) -> Row:
    """One peer; nothing depends on the seed."""
    if peer == "words":
        found: Row = {"marks": most_common(joined(training_sources()), joined(asked_once("test")))}
    else:
        found = ridge() if peer == "ridge" else {"turns": used_turns()}
    return {"peer": peer, "seed": seed} | found


def settings(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Setting]:
    for peer in PEERS:
        yield {"peer": peer, "seed": seeds[0]}


STUDY = Study(
    measures="the simplest peers of SmolLM2 with eyes",
    takes="a minute",
    columns={"peer": PEERS, "seed": None},
    seeds=(0,),
    settings=settings,
    run=run,
)
