"""LoRA and AdaLoRA against peft's on the same modules of the same encoder, and Muon against torch's
on the same matrices; equal values first."""

import warnings
from functools import partial

import peft
import torch
from torch import Tensor, nn

from bench.encoders import median_ms
from course_utils.models.text import TextConfig, TextEncoder
from course_utils.peft import (
    AdaLoRAConfig,
    LoRAConfig,
    RankAllocator,
    add_adalora,
    add_lora,
    freeze_base,
    orthogonality,
)
from course_utils.training.muon import Muon

BATCH, WORDS, RANK = 32, 24, 8
TARGETS = ("qkv", "out", "mlp.0", "mlp.2")
STEPS = 100_000  # of AdaLoRA's schedule: longer than what is measured


def encoder() -> TextEncoder:
    """An encoder of MiniLM's width, three layers."""
    torch.manual_seed(0)
    return TextEncoder(TextConfig(dim=384, layers=3, heads=12, mlp_dim=1536, vocab_size=1000))


def lora() -> tuple[nn.Module, nn.Module]:
    """Ours and peft's, with the same non-zero factors."""
    ours, theirs = encoder(), encoder()
    add_lora(ours, LoRAConfig(RANK, 16.0, TARGETS, parts=""))
    freeze_base(ours, keep=())
    theirs = peft.get_peft_model(
        theirs, peft.LoraConfig(r=RANK, lora_alpha=16, target_modules=list(TARGETS))
    )
    with torch.no_grad():
        for name, module in ours.named_modules():
            if hasattr(module, "A"):
                other = theirs.base_model.model.get_submodule(name)
                module.B.normal_(std=0.02)
                other.lora_A.default.weight.copy_(module.A[0])
                other.lora_B.default.weight.copy_(module.B[0])
    return ours, theirs


def adalora() -> tuple[nn.Module, nn.Module]:
    """The same for AdaLoRA."""
    ours, theirs = encoder(), encoder()
    add_adalora(ours, AdaLoRAConfig(RANK, 4, STEPS, 0, 10, 1, 16.0, targets=TARGETS, parts=""))
    freeze_base(ours, keep=())
    theirs = peft.get_peft_model(
        theirs,
        peft.AdaLoraConfig(
            init_r=RANK,
            target_r=4,
            tinit=0,
            tfinal=10,
            deltaT=1,
            total_step=STEPS,
            lora_alpha=16,
            target_modules=list(TARGETS),
        ),
    )
    with torch.no_grad():
        for name, module in ours.named_modules():
            if hasattr(module, "lam"):
                other = theirs.base_model.model.get_submodule(name)
                module.lam.normal_(std=0.5)
                other.lora_A.default.copy_(module.Q[0])
                other.lora_B.default.copy_(module.P[0])
                other.lora_E.default.copy_(module.lam[0][:, None])
    return ours, theirs


def their_penalty(model: nn.Module) -> Tensor:
    """As peft adds it to the loss of a model that returns one (tuners/adalora/model.py)."""
    total, count = 0.0, 0
    for name, p in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            product = p @ p.T if "lora_A" in name else p.T @ p
            one = torch.eye(*product.shape)
            total, count = total + torch.linalg.matrix_norm(product - one), count + 1
    return total / count


def tuning_methods(threads: int) -> list[tuple[str, float, float, str]]:
    """Rows for ours and for peft: name, median ms, times ours, and what was checked first."""
    torch.set_num_threads(threads)
    x = torch.randint(0, 1000, (BATCH, WORDS))
    goal = torch.randn(BATCH, WORDS, 384)
    rows = []
    for name, pair, penalties in (
        ("LoRA, training step", lora, (None, None)),
        ("AdaLoRA, training step with allocation", adalora, (orthogonality, their_penalty)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models = pair()
        with torch.no_grad():
            off = (models[0](x) - models[1](x)).abs().max().item()
        if off > 1e-5:
            raise RuntimeError(f"{name}: outputs differ by {off:.1e}")
        steps = {}
        for who, model, penalty in zip(("ours", "theirs"), models, penalties):
            steps[who] = step_of(model, penalty, x, goal)
        ms = median_ms(steps)
        rows += [
            (f"{name} (ours)", ms["ours"], 1.0, ""),
            (f"{name}, peft", ms["theirs"], ms["theirs"] / ms["ours"], f"outputs within {off:.0e}"),
        ]
    return rows


def muon_updates(threads: int) -> list[tuple[str, float, float, str]]:
    """The update of the matrices of an encoder of lesson 08's sizes, from the same gradients."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    start = [
        p for p in TextEncoder(TextConfig(dim=64, layers=2)).encoder.parameters() if p.ndim > 1
    ]
    gradients = [torch.randn_like(p) for p in start]
    steppers, ends = {}, []
    for name, make in (
        ("Muon, one update (ours)", Muon),
        ("torch.optim.Muon, one update", partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw")),
    ):
        weights = [nn.Parameter(p.detach().clone()) for p in start]
        for p, gradient in zip(weights, gradients):
            p.grad = gradient
        optimizer = make(weights, lr=1e-2, weight_decay=0.01)
        optimizer.step()
        ends.append(torch.cat([(p - q).flatten() for p, q in zip(weights, start)]))
        steppers[name] = optimizer.step
    off = ((ends[0] - ends[1]).norm() / ends[1].norm()).item()
    if off > 0.02:  # torch computes in bfloat16
        raise RuntimeError(f"Muon: updates differ by {off:.1e} of their size")
    ms = median_ms(steppers)
    (ours, first), (theirs, second) = ms.items()
    note = f"updates within {100 * off:.1f} %; it computes in bfloat16"
    return [(ours, first, 1.0, ""), (theirs, second, second / first, note)]


def step_of(model: nn.Module, penalty, x: Tensor, goal: Tensor):
    """One update of AdamW, with the allocation where there is one."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    if penalty is None:
        allocate = lambda step: None
    elif penalty is orthogonality:
        allocate = RankAllocator(model).update_and_allocate
    else:
        allocate = model.base_model.update_and_allocate
    done = iter(range(1, STEPS))

    def step() -> None:
        loss = (model(x) * goal).mean()
        if penalty is not None:
            loss = loss + 0.1 * penalty(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        allocate(next(done))

    return step
