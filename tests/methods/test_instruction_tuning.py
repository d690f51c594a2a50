"""A decoder with eyes learns from instructions, and is asked."""

import pytest
import torch

from course_utils.datasets.instructions import Instruction, as_batch, by_picture
from course_utils.methods.instruction_tuning import (
    answer_loss,
    answers,
    choice_log_probs,
    what_each_patch_tells,
)
from course_utils.models import smollm2
from course_utils.models.convert import from_llama
from course_utils.models.seeing import Projector, SeeingDecoder
from course_utils.objectives.language import next_token_loss
from tests.models.test_llama import small


@pytest.fixture(scope="module")
def tokenizer():
    try:
        return smollm2.load()[1]
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


def model_for(tokenizer, seed=0):
    decoder = from_llama(small(vocab_size=len(tokenizer)))
    torch.manual_seed(seed)
    placeholder = tokenizer.convert_tokens_to_ids("<file_sep>")
    return SeeingDecoder(decoder, Projector(10, 24, 12, scale=0.3), placeholder)


ROWS = [
    Instruction(0, "what colour is it?", "teal"),
    Instruction(1, "what colour is it?", "red"),
    Instruction(1, "is it a circle or a square?", "a square"),
]


def pictures():
    return torch.randn(2, 3, 10, generator=torch.Generator().manual_seed(2))


def test_the_loss_equals_that_of_all_logits_where_others_are_left_out(tokenizer):
    model, v = model_for(tokenizer), pictures()
    batch = as_batch(tokenizer, [[row] for row in ROWS], patches=3)
    want = next_token_loss(model(v[batch.picture], batch.x, batch.mask), batch.x, batch.scored)
    assert answer_loss(model, v, batch).item() == pytest.approx(want.item(), abs=1e-5)


def test_turns_about_one_picture_cost_what_each_costs_by_itself(tokenizer):
    model, v = model_for(tokenizer), pictures()
    together = as_batch(tokenizer, by_picture(ROWS, 2), patches=3)
    apart = as_batch(tokenizer, [[row] for row in ROWS], patches=3)
    assert together.x.shape[0] == 2 and together.scored.sum() == apart.scored.sum()
    losses = [answer_loss(model, v, batch) for batch in (together, apart)]
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-5)
    parameters = [model.projector.out.weight, model.decoder.layers[0].attention.k.weight]
    for one, other in zip(*(torch.autograd.grad(loss, parameters) for loss in losses)):
        assert torch.allclose(one, other, atol=1e-5)


def test_it_learns_what_each_picture_shows_and_answers_with_words(tokenizer):
    model, v = model_for(tokenizer), pictures()
    batch = as_batch(tokenizer, [[row] for row in ROWS], patches=3)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        loss = answer_loss(model, v, batch)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05
    order = torch.tensor([row.picture for row in ROWS])
    asked = [row.question for row in ROWS]
    written = answers(model.eval(), tokenizer, v[order], asked, at_once=2)
    assert written == [row.answer for row in ROWS]
    exchanged = answers(model, tokenizer, v[1 - order], asked)
    assert exchanged[:2] == ["red", "teal"]
    with pytest.raises(ValueError, match="a picture for each of 3 questions, got 2"):
        answers(model, tokenizer, v, asked)


def test_choices_are_scored_as_each_would_be_by_itself(tokenizer):
    model, v = model_for(tokenizer).eval(), pictures()
    order = torch.tensor([row.picture for row in ROWS])
    asked = [row.question for row in ROWS]
    choices = ["red", "a very large teal square", "no"]
    got = choice_log_probs(model, tokenizer, v[order], asked, choices, at_once=2)
    for i, question in enumerate(asked):
        for j, choice in enumerate(choices):
            batch = as_batch(tokenizer, [[Instruction(0, question, choice)]], patches=3)
            alone = -answer_loss(model, v[order[i : i + 1]], batch) * batch.scored.sum()
            assert got[i, j].item() == pytest.approx(alone.item(), abs=2e-4)
    with pytest.raises(ValueError, match="a choice, got 3 pictures and 0 choices"):
        choice_log_probs(model, tokenizer, v[order], asked, [])


def test_a_patch_tells_what_is_lost_without_it(tokenizer):
    model, v = model_for(tokenizer).eval(), pictures()[0]
    told = what_each_patch_tells(model, tokenizer, v, "what colour is it?", "red")
    for i in range(3):
        covered = v.clone()
        covered[i] = (v.sum(0) - v[i]) / 2
        scores = choice_log_probs(
            model, tokenizer, torch.stack([v, covered]), ["what colour is it?"] * 2, ["red"]
        )
        assert told[i].item() == pytest.approx((scores[0] - scores[1]).item(), abs=1e-4)
    with pytest.raises(ValueError, match="expected two or more patches, got 1"):
        what_each_patch_tells(model, tokenizer, v[:1], "what?", "red")


def test_nothing_is_refused(tokenizer):
    model = model_for(tokenizer)
    with pytest.raises(ValueError, match="turns: expected those about one picture or more"):
        as_batch(tokenizer, [], patches=3)
    with pytest.raises(ValueError, match="0 questions, one or more"):
        choice_log_probs(model, tokenizer, pictures()[:0], [], ["red"])
