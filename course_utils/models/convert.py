"""Weights of transformers' models for ours, so that both can be compared by value."""

from typing import Any

import torch
from torch import Tensor
from transformers import BertModel, GPT2LMHeadModel, LlamaForCausalLM, VisualBertModel

from course_utils.models.decoder import Decoder, DecoderConfig
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.llama import Llama, LlamaConfig
from course_utils.models.text import TextEncoder, config_from_bert, weights_from_bert
from course_utils.models.transformer import TransformerLayer

# Names of a layer's weights in transformers' LlamaForCausalLM and here
NAMES = {
    "input_layernorm": "norm1",
    "self_attn.q_proj": "attention.q",
    "self_attn.k_proj": "attention.k",
    "self_attn.v_proj": "attention.v",
    "self_attn.o_proj": "attention.out",
    "post_attention_layernorm": "norm2",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.up",
    "mlp.down_proj": "mlp.down",
}


@torch.no_grad()
def from_visual_bert(reference: VisualBertModel) -> JointEncoder:
    """A `JointEncoder` with the weights of a VisualBertModel: the same h for the same x, v, mask.

    VisualBERT gives every patch the position 0, so the result has no places for patches either.

    Raises:
        ValueError: the reference uses another activation than erf-GELU, or dropout.
    """
    theirs = reference.config
    if theirs.hidden_act != "gelu":
        raise ValueError(f"hidden_act: expected 'gelu' (by erf), got {theirs.hidden_act!r}")
    if theirs.hidden_dropout_prob != theirs.attention_probs_dropout_prob:
        raise ValueError(
            "expected the same dropout for hidden states and attention, got "
            f"{theirs.hidden_dropout_prob} and {theirs.attention_probs_dropout_prob}"
        )
    config = JointConfig(
        dim=theirs.hidden_size,
        layers=theirs.num_hidden_layers,
        heads=theirs.num_attention_heads,
        mlp_dim=theirs.intermediate_size,
        dropout=theirs.hidden_dropout_prob,
        norm="post",
        norm_eps=theirs.layer_norm_eps,
        vocab_size=theirs.vocab_size,
        max_words=theirs.max_position_embeddings,
        visual_dim=theirs.visual_embedding_dim,
    )
    ours = JointEncoder(config, visual_positions=False)
    source, target = reference.embeddings, ours.embedding
    target.token.weight.copy_(source.word_embeddings.weight)
    target.position.weight.copy_(source.position_embeddings.weight)
    target.token_type.weight[0] = source.token_type_embeddings.weight[0]
    target.token_type.weight[1] = (
        source.visual_token_type_embeddings.weight[1] + source.visual_position_embeddings.weight[0]
    )
    target.project.load_state_dict(source.visual_projection.state_dict())
    target.norm.load_state_dict(source.LayerNorm.state_dict())
    layers: Any = ours.encoder.layers  # TransformerLayers; a ModuleList forgets that
    for layer, reference_layer in zip(layers, reference.encoder.layer):
        copy_layer(layer, reference_layer)
        layer.norm1.load_state_dict(reference_layer.attention.output.LayerNorm.state_dict())
        layer.norm2.load_state_dict(reference_layer.output.LayerNorm.state_dict())
    return ours


def from_bert(reference: BertModel) -> TextEncoder:
    """A `TextEncoder` with the weights of a BertModel: the same h for the same x and mask.

    Raises:
        ValueError: the reference uses another activation than erf-GELU, or is a decoder.
    """
    ours = TextEncoder(config_from_bert(reference.config.to_dict()))
    ours.load_state_dict(weights_from_bert(reference.state_dict()))
    return ours


@torch.no_grad()
def from_gpt2(reference: GPT2LMHeadModel) -> Decoder:
    """A `Decoder` with the weights of a GPT-2 model that uses GELU by erf: the same logits.

    Raises:
        ValueError: another activation ("gelu_new", GPT-2's own, is an approximation of GELU).
    """
    theirs = reference.config
    if theirs.activation_function != "gelu":
        raise ValueError(
            f"activation_function: expected 'gelu' (by erf), got {theirs.activation_function!r}"
        )
    ours = Decoder(
        DecoderConfig(
            dim=theirs.n_embd,
            layers=theirs.n_layer,
            heads=theirs.n_head,
            mlp_dim=theirs.n_inner or 4 * theirs.n_embd,
            dropout=theirs.resid_pdrop,
            norm_eps=theirs.layer_norm_epsilon,
            vocab_size=theirs.vocab_size,
            max_words=theirs.n_positions,
        )
    )
    source = reference.transformer
    ours.token.load_state_dict(source.wte.state_dict())
    ours.position.load_state_dict(source.wpe.state_dict())
    ours.encoder.norm.load_state_dict(source.ln_f.state_dict())
    layers: Any = ours.encoder.layers
    for layer, block in zip(layers, source.h):
        layer.norm1.load_state_dict(block.ln_1.state_dict())
        layer.norm2.load_state_dict(block.ln_2.state_dict())
        pairs: list[tuple[Any, Any]] = [
            (layer.attention.qkv, block.attn.c_attn),
            (layer.attention.out, block.attn.c_proj),
            (layer.mlp[0], block.mlp.c_fc),
            (layer.mlp[2], block.mlp.c_proj),
        ]
        for linear, conv in pairs:  # GPT-2's Conv1D keeps its weight transposed
            linear.weight.copy_(conv.weight.T)  # (out, in)
            linear.bias.copy_(conv.bias)  # (out,)
    return ours


def from_llama(reference: LlamaForCausalLM) -> Llama:
    """A `Llama` with the weights of a LlamaForCausalLM: the same tensors, so nothing is copied, and
    training one changes the other.

    Raises:
        ValueError: the reference has a bias, scaled positions, another activation, or a head of its
            own.
    """
    theirs = reference.config
    rope = theirs.rope_parameters or {}
    for name, found, wanted in (
        ("attention_bias", theirs.attention_bias, False),
        ("mlp_bias", theirs.mlp_bias, False),
        ("hidden_act", theirs.hidden_act, "silu"),
        ("tie_word_embeddings", theirs.tie_word_embeddings, True),
        ("rope_type", rope.get("rope_type", "default"), "default"),
        (
            "head_dim",
            reference.model.layers[0].self_attn.head_dim,
            theirs.hidden_size // theirs.num_attention_heads,
        ),
    ):
        if found != wanted:
            raise ValueError(f"{name}: expected {wanted!r}, got {found!r}")
    config = LlamaConfig(
        vocab_size=theirs.vocab_size,
        dim=theirs.hidden_size,
        layers=theirs.num_hidden_layers,
        heads=theirs.num_attention_heads,
        key_heads=theirs.num_key_value_heads,
        mlp=theirs.intermediate_size,
        theta=rope["rope_theta"],
        eps=theirs.rms_norm_eps,
    )
    with torch.device("meta"):
        ours = Llama(config)
    state = {}
    for name, weight in reference.model.named_parameters():
        if name.startswith("layers."):
            _, number, part = name.split(".", 2)
            name = f"layers.{number}.{NAMES[part.removesuffix('.weight')]}.weight"
        state[name.replace("embed_tokens", "token")] = weight
    ours.load_state_dict(state, assign=True)
    return ours.train(reference.training)


@torch.no_grad()
def copy_layer(layer: TransformerLayer, reference: Any) -> None:
    """Copies attention and two-layer network from a BERT-like layer of transformers (VisualBERT,
    BERT, ViLT: they share these names); normalisations differ by name and are the caller's."""
    attention = attention_part(reference)
    parts = [attention.query, attention.key, attention.value]
    layer.attention.qkv.weight.copy_(torch.cat([p.weight for p in parts]))  # (3 * dim, dim)
    layer.attention.qkv.bias.copy_(torch.cat([p.bias for p in parts]))  # (3 * dim,)
    layer.attention.out.load_state_dict(reference.attention.output.dense.state_dict())
    layer.mlp[0].load_state_dict(reference.intermediate.dense.state_dict())
    layer.mlp[2].load_state_dict(reference.output.dense.state_dict())


def attention_part(reference: Any) -> Any:
    """The module with query, key and value; its name differs between models."""
    attention = reference.attention
    return attention.self if hasattr(attention, "self") else attention.attention


def qkv_gradient(reference: Any) -> Tensor:
    """The gradient of query, key and value weights of a layer, stacked as ours: (3 * dim, dim)."""
    attention = attention_part(reference)
    return torch.cat([p.weight.grad for p in (attention.query, attention.key, attention.value)])
