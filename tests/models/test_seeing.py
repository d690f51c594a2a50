"""A decoder that reads a picture in the place of placeholders; instructions for it."""

import pytest
import torch

from course_utils.datasets.instructions import (
    END,
    PLACEHOLDER,
    Instruction,
    as_batch,
    instruction_loader,
    prompt_ids,
)
from course_utils.methods.generation import continued
from course_utils.models import smollm2
from course_utils.models.convert import from_llama
from course_utils.models.seeing import Projector, SeeingDecoder
from course_utils.objectives.language import next_token_loss
from tests.models.test_llama import small


@pytest.fixture(scope="module")
def model():
    theirs = small()
    torch.manual_seed(1)
    projector = Projector(visual_dim=10, dim=24, hidden=12, scale=0.3)
    return SeeingDecoder(from_llama(theirs), projector, placeholder=4).eval(), theirs


def inputs():
    x = torch.tensor([[0, 1, 4, 4, 7, 8], [1, 4, 9, 4, 6, 5]])  # (batch, words)
    mask = x != 0
    v = torch.randn(2, 2, 10, generator=torch.Generator().manual_seed(3))
    return v, x, mask


def test_equals_transformers_on_the_same_vectors(model):
    ours, theirs = model
    v, x, mask = inputs()
    seen = ours.projector(v)  # (batch, patches, dim)
    h = theirs.get_input_embeddings()(x).detach().clone()
    h[0, 2], h[0, 3], h[1, 1], h[1, 3] = seen[0, 0], seen[0, 1], seen[1, 0], seen[1, 1]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    want = theirs(inputs_embeds=h, attention_mask=mask.long(), position_ids=positions).logits
    assert (ours(v, x, mask) - want)[mask].abs().max() < 1e-5
    want = theirs.generate(
        inputs_embeds=h, attention_mask=mask.long(), max_new_tokens=6, do_sample=False
    )
    got = continued(ours.decoder, x, 6, mask, end=2, h=ours.embedded(v, x))
    assert torch.equal(got, want[:, : got.shape[1]])


def test_the_picture_matters_and_where_it_is_not_looked_at_it_does_not(model):
    ours, _ = model
    v, x, mask = inputs()
    other = ours(v.flip(0), x, mask)
    assert (other - ours(v, x, mask))[0, 1].abs().max() < 1e-6  # before the picture
    assert (other - ours(v, x, mask))[:, -1].abs().max() > 1e-3


def test_gradients_reach_the_projector_alone_where_the_decoder_is_frozen(model):
    ours, _ = model
    v, x, mask = inputs()
    ours.decoder.requires_grad_(False)
    loss = next_token_loss(ours(v, x, mask), x, mask & (x != 4))
    loss.backward()
    assert ours.projector.hidden.weight.grad.abs().max() > 0
    assert all(p.grad is None for p in ours.decoder.parameters())


def test_a_wrong_number_of_placeholders_is_named(model):
    _v, x, mask = inputs()
    with pytest.raises(ValueError, match=r"text 0: expected 3 placeholders .* got 2"):
        model[0](torch.randn(2, 3, 10), x, mask)


def test_visual_tokens_start_with_the_size_of_words(model):
    seen = model[0].projector(inputs()[0])
    assert seen.std().item() == pytest.approx(0.3, rel=0.1)


@pytest.fixture(scope="module")
def tokenizer():
    try:
        return smollm2.load()[1]
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


def test_a_prompt_is_the_chat_template_without_its_system_sentence(tokenizer):
    want = tokenizer.apply_chat_template(
        [{"role": "system", "content": "-"}, {"role": "user", "content": "is it red?"}],
        add_generation_prompt=True,
        tokenize=False,
    ).split(END + "\n", 1)[1]
    assert tokenizer.decode(prompt_ids(tokenizer, "is it red?", 0)) == want
    ids = prompt_ids(tokenizer, "is it red?", 3)
    assert ids.count(tokenizer.convert_tokens_to_ids(PLACEHOLDER)) == 3


def test_a_users_special_tokens_are_text(tokenizer):
    ids = prompt_ids(tokenizer, f"{END} {PLACEHOLDER}", 2)
    assert ids.count(tokenizer.convert_tokens_to_ids(PLACEHOLDER)) == 2
    assert ids.count(tokenizer.convert_tokens_to_ids(END)) == 1
    with pytest.raises(ValueError, match="question: expected some words"):
        prompt_ids(tokenizer, "  ", 2)


def test_only_the_answer_and_its_end_are_scored(tokenizer):
    rows = [Instruction(5, "what colour is it?", "dark red"), Instruction(2, "big?", "yes")]
    batch = as_batch(tokenizer, [[row] for row in rows], patches=2)
    assert batch.picture.tolist() == [5, 2]
    for i, row in enumerate(rows):
        assert tokenizer.decode(batch.x[i][batch.scored[i]]) == row.answer + END
        assert not (batch.scored[i] & ~batch.mask[i]).any()
        assert batch.mask[i, -1] and batch.mask[i].sum() == batch.mask[i].long().cumsum(0)[-1]
    assert not batch.mask[1, 0] and batch.mask[0].all()  # padding on the left


def test_batches_go_through_all_rows_and_repeat_with_the_seed(tokenizer):
    rows = [Instruction(i, "big?", "yes") for i in range(7)]
    loaders = [
        instruction_loader(tokenizer, [[row] for row in rows], 1, 3, seed=4) for _ in range(2)
    ]
    passes = [[batch.picture.tolist() for batch in [*each, *each]] for each in loaders]
    assert passes[0] == passes[1] and len(passes[0]) == 4
    assert len({i for batch in passes[0][:2] for i in batch}) == 6
    assert passes[0][:2] != passes[0][2:]  # another order
    with pytest.raises(ValueError, match=r"size: expected 1 to 7 \(pictures\), got 8"):
        instruction_loader(tokenizer, [[row] for row in rows], 1, 8, seed=0)
