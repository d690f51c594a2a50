"""Our joint encoder against transformers' VisualBertModel and ViltModel, equal values first."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from transformers import ViltConfig, ViltModel, VisualBertConfig, VisualBertModel

from course_utils.models.convert import from_visual_bert, qkv_gradient
from course_utils.models.joint import joint_mask
from course_utils.models.vision import PatchStem

BATCH, WORDS, PATCHES, DIM = 32, 16, 16, 64
SIZES = dict(
    hidden_size=DIM,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=256,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


def _visual_bert() -> VisualBertModel:
    config = VisualBertConfig(
        vocab_size=40, visual_embedding_dim=DIM, max_position_embeddings=64, **SIZES
    )
    return VisualBertModel(config, add_pooling_layer=False)


def _largest_difference(ours, theirs, x, v, mask, first: bool = False) -> tuple[float, float]:
    """Largest differences of h and of the gradient of the first attention; with `first`, of what a
    head reads: h[:, 0], which ours computes alone."""
    valid = joint_mask(mask, PATCHES)  # (batch, positions)
    weight = torch.randn(BATCH if first else int(valid.sum()), DIM)
    runs = (
        (ours, lambda: ours(x, v, mask, keep=1 if first else None)),
        (theirs, lambda: _run(theirs, x, v, mask)),
    )
    outputs = []
    for model, run in runs:
        model.zero_grad()
        h = run()[:, 0] if first else run()[valid]  # (batch or valid positions, dim)
        (h * weight).mean().backward()
        outputs.append(h.detach())
    ours_grad = ours.encoder.layers[0].attention.qkv.weight.grad
    theirs_grad = qkv_gradient(theirs.encoder.layer[0])
    return (
        (outputs[0] - outputs[1]).abs().max().item(),
        (ours_grad - theirs_grad).abs().max().item(),
    )


def _run(model: VisualBertModel, x, v, mask) -> torch.Tensor:
    ones = torch.ones(v.shape[:2], dtype=torch.long)
    return model(
        input_ids=x, attention_mask=mask.long(), visual_embeds=v, visual_attention_mask=ones
    ).last_hidden_state


def median_ms(steps: dict[str, Callable[[], None]], timed: int = 15, warm: int = 3) -> dict:
    """Milliseconds of each step, taken in turns so that a busy moment hits all alike."""
    times = {name: [] for name in steps}
    for i in range(warm + timed):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # a GPU's step has ended only now
            if i >= warm:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def against_peers(threads: int) -> list[tuple[str, float, float, str]]:
    """Rows (name, ms, times ours, what was checked before); ours is the first of each group."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    theirs = _visual_bert().train()
    ours = from_visual_bert(theirs).train()
    vilt = ViltModel(
        ViltConfig(
            vocab_size=40,
            image_size=64,
            patch_size=16,
            max_image_length=-1,
            max_position_embeddings=64,
            **SIZES,
        ),
        add_pooling_layer=False,
    ).train()
    stem = PatchStem(DIM)
    x = torch.randint(0, 40, (BATCH, WORDS))  # (batch, words)
    mask = torch.arange(WORDS) < torch.randint(5, WORDS + 1, (BATCH, 1))  # (batch, words)
    images = torch.rand(BATCH, 3, 64, 64)
    v = stem(images).detach()  # (batch, patches, dim)
    h, gradient = _largest_difference(ours, theirs, x, v, mask)
    h_first, gradient_first = _largest_difference(ours, theirs, x, v, mask, first=True)
    if max(h, gradient, h_first, gradient_first) > 1e-5:
        raise AssertionError(
            "expected equal outputs and gradients, got differences of "
            f"{h:.1e}, {gradient:.1e}, {h_first:.1e}, {gradient_first:.1e}"
        )

    def backward(model: nn.Module, run: Callable[[], torch.Tensor]) -> Callable[[], None]:
        def step() -> None:
            model.zero_grad()
            run().square().mean().backward()

        return step

    pixels = nn.ModuleList([stem, ours])
    ms = median_ms(
        {
            "JointEncoder (ours)": backward(ours, lambda: ours(x, v, mask)),
            "VisualBertModel": backward(theirs, lambda: _run(theirs, x, v, mask)),
            "JointEncoder (ours), the position that a head reads": backward(
                ours, lambda: ours(x, v, mask, keep=1)
            ),
            "VisualBertModel, the position that a head reads": backward(
                theirs, lambda: _run(theirs, x, v, mask)[:, :1]
            ),
            "PatchStem + JointEncoder (ours), from pixels": backward(
                pixels, lambda: ours(x, stem(images), mask)
            ),
            "ViltModel, from pixels": backward(
                vilt,
                lambda: (
                    vilt(
                        input_ids=x, attention_mask=mask.long(), pixel_values=images
                    ).last_hidden_state
                ),
            ),
        }
    )
    notes = [
        "",
        f"h within {h:.0e}, gradients within {gradient:.0e}",
        "",
        f"h[:, 0] within {h_first:.0e}, gradients within {gradient_first:.0e}",
        "",
        "same sizes; other positions and one more token",
    ]
    names = list(ms)
    return [
        (name, ms[name], ms[name] / ms[names[i - i % 2]], notes[i]) for i, name in enumerate(names)
    ]
