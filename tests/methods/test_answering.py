"""The shipped model, asked as in lesson 00."""

import torch

from course_utils.datasets.easy_vqa import draw_shape
from course_utils.methods.answering import trained_easy_vqa


def test_the_shipped_model_answers():
    model = trained_easy_vqa()
    assert not model.network.training and len(model.answers) == 13
    picture = draw_shape("triangle", "teal")
    p = model.probabilities(picture, "what color is the shape?")
    assert p.shape == (13,) and torch.isclose(p.sum(), torch.tensor(1.0))
    assert not p.requires_grad
    for question, answer in {
        "what color is the shape?": "teal",
        "what shape is in the image?": "triangle",
        "is there a red shape?": "no",
        "is there a teal shape?": "yes",
    }.items():
        assert model.answer(picture, question) == answer
    assert model.answer(draw_shape("circle", "red", x=50, y=12), "is there a circle?") == "yes"
