"""Does a model see order? Three numbers, on models whose answers are known."""

import pytest
import torch
from torch import nn

from course_utils.datasets.clips import clip_data
from course_utils.evaluation.order_tests import answers_to, same_answers, test_order
from course_utils.world.motion import sample_clips
from course_utils.world.motion_words import ANSWERS

CLIPS = sample_clips("which", 150, seed=1)
# the centre of each object as its feature: (clips, frames, 1, 2)
V = torch.from_numpy(CLIPS.cx)[:, :, None]
DATA = clip_data(V, CLIPS, seed=2, forms=1)


class Knows(nn.Module):
    """Sees where the asked object goes: it is told which one that is, by the test's own table."""

    def __init__(self, data, set_of_frames=False):
        super().__init__()
        self.set_of_frames = set_of_frames
        # the object whose path gives the right answers
        right = torch.stack([(V[:, -1, 0, k] > V[:, 0, 0, k]) for k in (0, 1)], 1)  # (n, 2)
        self.asked = (right[:, 1] == (data.y[: len(V)] == ANSWERS.index("yes"))).long()

    def forward(self, v, x, mask):
        row = [int((V.sum((1, 2)) - one.sum((0, 1))).abs().sum(1).argmin()) for one in v]
        asked = self.asked[row]
        path = v[torch.arange(len(v)), :, 0, asked]  # (batch, frames)
        yes = path[:, -1] > path[:, 0] if not self.set_of_frames else path.mean(1) > 32
        logits = torch.zeros(len(v), len(ANSWERS))
        logits[torch.arange(len(v)), torch.where(yes, 1, 0)] = 1
        return logits


def test_a_model_that_sees_order_is_right_until_it_is_shuffled():
    found = test_order(Knows(DATA), DATA)
    assert found.right == 1 and found.same == 0
    assert abs(found.shuffled - 0.5) < 0.1


def test_a_model_of_a_set_is_right_in_exactly_half():
    found = test_order(Knows(DATA, set_of_frames=True), DATA)
    assert found == (0.5, 0.5, 1.0)


def test_answers_stand_in_the_order_of_the_data():
    assert torch.equal(answers_to(Knows(DATA), DATA), DATA.y)


def test_pairs_are_needed():
    answers = torch.tensor([1, 2, 3, 1, 0, 3])
    assert same_answers(answers).tolist() == [True, False, True]
    for wrong in (answers[:5], answers[:0]):
        with pytest.raises(ValueError, match="clips and of their reverses"):
            same_answers(wrong)
