"""Our text encoder against transformers' BertModel and our decoder against GPT2LMHeadModel, with
copied weights and equal values first."""

from collections.abc import Callable

import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

from bench.encoders import median_ms
from course_utils.models.convert import from_bert, from_gpt2
from course_utils.objectives.language import IGNORE, next_token_loss

BATCH, WORDS = 32, 24
# MiniLM's sizes
BERT = dict(
    vocab_size=30522,
    hidden_size=384,
    num_hidden_layers=6,
    num_attention_heads=12,
    intermediate_size=1536,
    layer_norm_eps=1e-12,
)
# those of lesson 03's decoder, with a longer text
GPT = dict(
    vocab_size=64,
    n_positions=64,
    n_embd=64,
    n_layer=2,
    n_head=4,
    n_inner=256,
    activation_function="gelu",
    resid_pdrop=0.0,
    embd_pdrop=0.0,
    attn_pdrop=0.0,
    bos_token_id=0,
    eos_token_id=0,
)

Row = tuple[str, float, float, str]  # name, ms, times ours, what was checked before


def language_models(threads: int) -> list[Row]:
    """Rows for a forward pass of the encoders and a training step of the decoders; ours first."""
    torch.set_num_threads(threads)
    return [*_encoders(), *_decoders()]


def _rows(steps: dict[str, Callable[[], None]], note: str) -> list[Row]:
    ms = median_ms(steps)
    ours = next(iter(ms.values()))
    return [
        (name, value, value / ours, note if i else "") for i, (name, value) in enumerate(ms.items())
    ]


def _encoders() -> list[Row]:
    torch.manual_seed(0)
    theirs = BertModel(BertConfig(**BERT), add_pooling_layer=False).eval()
    ours = from_bert(theirs).eval()
    x = torch.randint(0, BERT["vocab_size"], (BATCH, WORDS))  # (batch, words)
    mask = torch.arange(WORDS) < torch.randint(5, WORDS + 1, (BATCH, 1))  # (batch, words)

    @torch.no_grad()
    def our_states() -> torch.Tensor:
        return ours(x, mask)  # (batch, words, dim)

    @torch.no_grad()
    def their_states() -> torch.Tensor:
        return theirs(x, attention_mask=mask.long()).last_hidden_state  # (batch, words, dim)

    gap = (our_states() - their_states())[mask].abs().max().item()
    if gap > 1e-5:
        raise AssertionError(f"expected equal states, got a difference of {gap:.1e}")
    return _rows(
        {"TextEncoder (ours), forward": our_states, "BertModel, forward": their_states},
        f"h within {gap:.0e}",
    )


def _decoders() -> list[Row]:
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(GPT2Config(**GPT)).train()
    ours = from_gpt2(theirs).train()
    x = torch.randint(0, GPT["vocab_size"], (BATCH, WORDS))  # (batch, words)
    mask = torch.arange(WORDS) < torch.randint(5, WORDS + 1, (BATCH, 1))  # (batch, words)
    labels = x.masked_fill(~mask, IGNORE)  # (batch, words)

    def our_loss() -> torch.Tensor:
        return next_token_loss(ours(x), x, mask)

    def their_loss() -> torch.Tensor:
        return theirs(x, labels=labels).loss

    loss = abs(our_loss().item() - their_loss().item())
    our_loss().backward()
    their_loss().backward()
    gradient = (ours.token.weight.grad - theirs.transformer.wte.weight.grad).abs().max().item()
    if max(loss, gradient) > 1e-5:
        raise AssertionError(f"expected equal loss and gradient, got {loss:.1e}, {gradient:.1e}")

    def training(model: torch.nn.Module, loss_of: Callable[[], torch.Tensor]) -> Callable[[], None]:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

        def step() -> None:
            optimizer.zero_grad()
            loss_of().backward()
            optimizer.step()

        return step

    return _rows(
        {
            "Decoder (ours), training step": training(ours, our_loss),
            "GPT2LMHeadModel, training step": training(theirs, their_loss),
        },
        f"loss within {loss:.0e}, gradient within {gradient:.0e}",
    )
