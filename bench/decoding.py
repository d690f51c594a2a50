"""Writing and tuning with SmolLM2 against transformers and peft, on the real weights; equal values
first. Taken in turns, in CPU time, since another process on the machine stops a clock no less.

python -m bench.decoding     writes bench/decoding.json
"""

import copy
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import peft
import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from bench.language import GPT, Row
from course_utils.datasets.instructions import Instruction, as_batch
from course_utils.methods.eyes import LORA, add_tuning, with_eyes
from course_utils.methods.generation import continued
from course_utils.methods.instruction_tuning import answer_loss
from course_utils.models import smollm2
from course_utils.models.convert import from_gpt2, from_llama
from course_utils.models.llama import Llama
from course_utils.models.llama_layout import lay_out
from tools.run import processor

TOKENS, TURNS = 32, 9
FILE = Path(__file__).parent / "decoding.json"


def cpu_ms(steps: dict[str, Callable[[], object]], turns: int = TURNS) -> dict[str, float]:
    """Median CPU time of each step in milliseconds; all in turns, after one round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(turns + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn:
                taken[name].append(1000 * (time.process_time() - start))
    return {name: sorted(some)[len(some) // 2] for name, some in taken.items()}


def rows(ms: dict[str, float], notes: dict[str, str]) -> list[Row]:
    """Ours is the first."""
    ours = next(iter(ms.values()))
    return [(name, value, value / ours, notes.get(name, "")) for name, value in ms.items()]


def small_decoder() -> list[Row]:
    """32 tokens behind 8, from a GPT-2 of lesson 03's sizes with copied weights."""
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(GPT2Config(**GPT)).eval()
    ours = from_gpt2(theirs).eval()
    x = torch.randint(1, GPT["vocab_size"], (1, 8))  # (1, words)
    options = dict(attention_mask=torch.ones_like(x), do_sample=False, pad_token_id=0)
    options |= dict(max_new_tokens=TOKENS, min_new_tokens=TOKENS)

    def generate() -> torch.Tensor:
        return theirs.generate(x, **options)[:, x.shape[1] :]

    if not torch.equal(continued(ours, x, TOKENS), generate()):
        raise RuntimeError("the decoders write different tokens")
    ms = cpu_ms(
        {
            f"Decoder with its cache, {TOKENS} tokens (ours)": lambda: continued(ours, x, TOKENS),
            f"GPT2LMHeadModel.generate, {TOKENS} tokens": generate,
        }
    )
    return rows(ms, {list(ms)[1]: "the same tokens"})


@torch.inference_mode()
def token_times(models: dict[str, Callable[[], Callable]], tokens: int) -> dict[str, list[float]]:
    """CPU milliseconds of each written token; `models` give a function that writes the next one."""
    steppers = {name: begin() for name, begin in models.items()}
    taken: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(tokens):
        for name, step in steppers.items():
            start = time.process_time()
            step()
            taken[name].append(1000 * (time.process_time() - start))
    return taken


def writer(model: Llama, x: torch.Tensor, written: list[int]) -> Callable[[], None]:
    """Writes the next token with our decoder at each call."""
    cache = model.cache(1, x.shape[1] + 2 * TOKENS)
    state = [model.states(model.token(x), None, cache)[:, -1]]

    def step() -> None:
        token = model.logits(state[0]).argmax(-1)  # (1,)
        written.append(int(token))
        state[0] = model.states(model.token(token[:, None]), None, cache)[:, -1]

    return step


def their_writer(model, x: torch.Tensor, written: list[int]) -> Callable[[], None]:
    """The same with transformers' model and its own cache."""
    out = [model(x, use_cache=True)]

    def step() -> None:
        token = out[0].logits[:, -1].argmax(-1)  # (1,)
        written.append(int(token))
        cache = out[0].past_key_values
        out[0] = model(token[:, None], past_key_values=cache, use_cache=True)

    return step


def smollm2_tokens() -> list[Row]:
    """One token of one text, by layout of the matrices."""
    reference, tokenizer = smollm2.load()
    x = tokenizer("The little dog ran into the garden and", return_tensors="pt").input_ids
    ours = from_llama(reference).eval()
    turned = lay_out(copy.deepcopy(ours))
    fused = lay_out(copy.deepcopy(ours), turned=False)
    halves = lay_out(copy.deepcopy(ours), turned=False).bfloat16()
    for model in (turned, fused):
        off = (model(x) - ours(x)).abs().max().item()
        if off > 1e-3:
            raise RuntimeError(f"logits differ by {off:.1e}")
    written: dict[str, list[int]] = {}
    models: dict[str, Callable] = {}
    for name, model, make in (
        ("SmolLM2, one token, laid out (in, out) (ours)", turned, writer),
        ("SmolLM2, laid out (out, in) (ours)", fused, writer),
        ("SmolLM2, Llama of lesson 14 (ours)", ours, writer),
        ("SmolLM2, bfloat16, laid out (out, in) (ours)", halves, writer),
        ("SmolLM2, transformers", reference, their_writer),
    ):
        written[name] = []
        models[name] = lambda model=model, make=make, name=name: make(model, x, written[name])
    taken = token_times(models, TOKENS)
    ms = {name: sorted(some)[len(some) // 2] for name, some in taken.items()}
    same = {name: texts == written["SmolLM2, transformers"] for name, texts in written.items()}
    return rows(ms, {name: "the same tokens" if same[name] else "other tokens" for name in ms})


def tuning_step() -> list[Row]:
    """Forward and backward of four answers about four pictures, the decoder frozen but for LoRA on
    queries and values, against transformers' model with peft's LoRA."""
    reference, tokenizer = smollm2.load()
    ours = with_eyes(from_llama(copy.deepcopy(reference)), tokenizer)
    add_tuning(ours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.get_peft_model(
            reference,
            peft.LoraConfig(
                r=LORA.rank, lora_alpha=int(LORA.alpha), target_modules=["q_proj", "v_proj"]
            ),
        )
    turns = [[Instruction(i, "what color is the shape?", "red")] for i in range(4)]
    batch = as_batch(tokenizer, turns, patches=9)
    v = torch.randn(4, 9, 1280, generator=torch.Generator().manual_seed(0))
    labels = batch.x.masked_fill(~batch.scored, -100)  # (batch, words)

    def step_ours() -> torch.Tensor:
        ours.zero_grad()
        loss = answer_loss(ours, v, batch)
        loss.backward()
        return loss.detach()

    def step_theirs() -> torch.Tensor:
        ours.zero_grad()
        theirs.zero_grad()
        h = ours.embedded(v[batch.picture], batch.x)  # (batch, words, dim): the same projector
        logits = theirs(inputs_embeds=h, attention_mask=batch.mask.long()).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        return loss.detach()

    off = abs(step_ours() - step_theirs()).item()
    if off > 1e-3:
        raise RuntimeError(f"losses differ by {off:.1e}")
    ms = cpu_ms(
        {
            "SmolLM2 with eyes, forward and backward (ours)": step_ours,
            "the same, transformers and peft": step_theirs,
        },
        turns=5,
    )
    return rows(ms, {list(ms)[1]: f"loss within {off:.0e}"})


def main() -> None:
    """Measures on one thread, and keeps rows and machine in FILE, which `python -m bench` shows."""
    torch.set_num_threads(1)
    found = [*small_decoder(), *smollm2_tokens(), *tuning_step()]
    kept = {"machine": processor(), "torch": torch.__version__, "rows": found}
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    for name, ms, ratio, note in found:
        print(f"{name:52}{ms:8.1f}{ratio:7.2f}  {note}")


if __name__ == "__main__":
    main()
