"""LoRA and AdaLoRA against peft, prefixes and adapters against independent implementations."""

import copy
import math

import peft
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

from course_utils.models.convert import from_bert, from_gpt2
from course_utils.models.fusion import CrossAttentionEncoder, TwoTowerEncoder
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.pretrained import load_minilm
from course_utils.models.text import TextConfig, TextEncoder, encode_texts
from course_utils.peft import (
    AdaLoRAConfig,
    AdapterConfig,
    LoRAConfig,
    PrefixConfig,
    RankAllocator,
    add_adalora,
    add_adapters,
    add_lora,
    add_prefix,
    count_parameters,
    fold,
    freeze_base,
    merge,
    orthogonality,
    ranks,
    remove,
    unmerge,
)
from course_utils.peft.base import tuning_names, tunings
from course_utils.training.fit import FitConfig, fit

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


class Net(nn.Module):
    """A small network whose two matrices get factors."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(10, 12), nn.Linear(12, 6)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def fill(model):
    """Random values, also where a method starts at 0: equality at 0 would prove nothing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in tuning_names(model):
                p.copy_(0.3 * torch.randn(p.shape, generator=generator))
    return model


def data(dtype, steps=12):
    generator = torch.Generator().manual_seed(2)
    xs = torch.randn(steps, 16, 10, generator=generator, dtype=dtype)
    return xs, torch.randn(steps, 16, 6, generator=generator, dtype=dtype)


def networks(dtype):
    torch.manual_seed(0)
    net = Net().to(dtype)
    return net, copy.deepcopy(net)


def close(ours, theirs):
    assert torch.allclose(ours, theirs, rtol=0, atol=TOLERANCE[theirs.dtype])


# LoRA


def lora_pair(dtype, rank_stabilised):
    ours, theirs = networks(dtype)
    add_lora(ours, LoRAConfig(4, 8.0, ("first", "second"), rank_stabilised=rank_stabilised))
    freeze_base(ours, keep=())
    theirs = peft.get_peft_model(
        theirs,
        peft.LoraConfig(
            r=4, lora_alpha=8, target_modules=["first", "second"], use_rslora=rank_stabilised
        ),
    )
    fill(ours)
    for name in ("first", "second"):
        a, b = getattr(ours, name), getattr(theirs.base_model.model, name)
        with torch.no_grad():
            b.lora_A.default.weight.copy_(a.A[0])
            b.lora_B.default.weight.copy_(a.B[0])
    return ours, theirs


@DTYPES
@pytest.mark.parametrize("rank_stabilised", [False, True])
def test_lora_equals_peft_in_outputs_gradients_training_and_merging(dtype, rank_stabilised):
    ours, theirs = lora_pair(dtype, rank_stabilised)
    inner = theirs.base_model.model
    xs, ys = data(dtype)
    close(ours(xs[0]), theirs(xs[0]))
    assert count_parameters(ours).trainable == 4 * (10 + 12) + 4 * (12 + 6)
    assert count_parameters(ours).trainable == theirs.get_nb_trainable_parameters()[0]
    optimizers = [
        torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-2)
        for m in (ours, theirs)
    ]
    for x, y in zip(xs, ys):
        losses = [F.mse_loss(model(x), y) for model in (ours, theirs)]
        close(*losses)
        for loss, optimizer in zip(losses, optimizers):
            optimizer.zero_grad()
            loss.backward()
        close(ours.first.A.grad[0], inner.first.lora_A.default.weight.grad)
        close(ours.second.B.grad[0], inner.second.lora_B.default.weight.grad)
        assert ours.first.base.weight.grad is None
        for optimizer in optimizers:
            optimizer.step()
    before = ours(xs[0])
    merge(ours)
    theirs.merge_adapter()
    close(ours.first.base.weight, inner.first.base_layer.weight)
    close(ours(xs[0]), theirs(xs[0]))
    close(ours(xs[0]), before)


def test_rank_stabilised_scaling():
    assert LoRAConfig(16, 8.0).scale == 0.5
    assert LoRAConfig(16, 8.0, rank_stabilised=True).scale == 2.0


def test_merging_and_unmerging_is_exact_and_refused_twice():
    ours, _ = lora_pair(torch.float32, False)
    weight = ours.first.base.weight.clone()
    with pytest.raises(ValueError, match="aren't merged"):
        unmerge(ours)
    merge(ours)
    assert not torch.equal(ours.first.base.weight, weight)
    with pytest.raises(ValueError, match="merging twice"):
        merge(ours)
    unmerge(ours)
    assert torch.equal(ours.first.base.weight, weight)


def test_the_state_of_a_merged_model_fills_a_fresh_one_and_a_merged_one():
    ours, _ = lora_pair(torch.float32, False)
    x = torch.randn(3, 10)
    before = ours(x)
    merge(ours)
    state = copy.deepcopy(ours.state_dict())
    fresh, merged = copy.deepcopy(networks(torch.float32)[0]), copy.deepcopy(ours)
    add_lora(fresh, LoRAConfig(4, 8.0, ("first", "second")))
    for other in (fresh, merged):
        other.load_state_dict(state)
        assert torch.equal(other(x), before)
    assert torch.allclose(ours(x), before, atol=1e-5) and ours.first.merged


class Tied(nn.Module):
    """A model whose output layer is its table of words."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.middle = nn.Embedding(11, 16), nn.Linear(16, 16)
        self.out = nn.Linear(16, 11, bias=False)
        self.out.weight = self.words.weight

    def forward(self, x):
        return self.out(self.middle(self.words(x)))


def test_merging_into_a_tied_weight_is_refused_and_nothing_is_merged():
    model, x = Tied(), torch.arange(11)
    add_lora(model, LoRAConfig(2, targets=("middle", "out"), parts=""))
    fill(model)
    before = model(x)
    with pytest.raises(ValueError, match="out and words share one weight"):
        merge(model)
    assert torch.equal(model(x), before)
    model.out.base.weight = nn.Parameter(model.out.base.weight.detach().clone())
    merge(model)  # as the message says
    assert torch.allclose(model(x), before, atol=1e-5)


@pytest.mark.parametrize("rows", [24, 32])  # 24 could be cut into thirds, which mean nothing
def test_a_grouped_qkv_is_refused(rows):
    """One matrix of 16 queries and fewer keys and values."""
    model = nn.ModuleDict({"qkv": nn.Linear(16, rows)})
    with pytest.raises(ValueError, match=r'grouped keys and values.*parts=""'):
        add_lora(model, LoRAConfig(2))
    assert isinstance(model["qkv"], nn.Linear)
    add_lora(model, LoRAConfig(2, parts=""))


def bert_pair(dtype=torch.float64):
    torch.manual_seed(0)
    bert = BertModel(
        BertConfig(
            vocab_size=30,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=16,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        add_pooling_layer=False,
    ).eval()
    ours = from_bert(bert).to(dtype).eval()
    return ours, bert.to(dtype)


def test_lora_on_queries_and_values_of_a_stacked_matrix_equals_peft_on_bert():
    """In transformers query and value are modules of their own; here they are rows of `qkv`."""
    ours, bert = bert_pair()
    add_lora(ours, LoRAConfig(4, 8.0, ("qkv",), parts="qv"))
    freeze_base(ours, keep=())
    theirs = (
        peft.get_peft_model(
            bert, peft.LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value"])
        )
        .double()
        .eval()
    )
    fill(ours)
    layers = theirs.base_model.model.encoder.layer
    for a, b in zip(ours.encoder.layers, layers):
        with torch.no_grad():
            for i, part in enumerate((b.attention.self.query, b.attention.self.value)):
                part.lora_A.default.weight.copy_(a.attention.qkv.A[i])
                part.lora_B.default.weight.copy_(a.attention.qkv.B[i])
    x = torch.randint(0, 30, (3, 9))
    mask = torch.arange(9) < torch.tensor([[9], [4], [7]])
    got, expected = ours(x, mask), theirs(x, attention_mask=mask.long()).last_hidden_state
    close(got[mask], expected[mask])
    other = torch.randn(got[mask].shape, dtype=got.dtype)  # the norm of a normalised h is constant
    (got[mask] * other).sum().backward(), (expected[mask] * other).sum().backward()
    for a, b in zip(ours.encoder.layers, layers):
        grad = b.attention.self.value.lora_A.default.weight.grad
        assert torch.allclose(a.attention.qkv.A.grad[1], grad, atol=1e-10 * grad.abs().max())
    assert count_parameters(ours).trainable == theirs.get_nb_trainable_parameters()[0]
    # `keep` makes the layer read `qkv.weight` itself: the change must be in it
    close(ours(x, mask, keep=1)[:, 0], got[:, 0])


def test_lora_starts_without_effect_and_with_a_gradient():
    net, before = networks(torch.float32)
    add_lora(net, LoRAConfig(2, 4.0, ("first",)))
    x = torch.randn(5, 10)
    assert torch.equal(net(x), before(x))
    net(x).sum().backward()
    assert net.first.B.grad.abs().sum() > 0 and net.first.A.grad.abs().sum() == 0
    with torch.no_grad():
        net.first.A.zero_()
    net.zero_grad()
    net(x).sum().backward()
    assert net.first.B.grad.abs().sum() == 0 and net.first.A.grad.abs().sum() == 0


def test_lora_on_a_matrix_with_names_of_sizes():
    """Code that asks a Linear for its sizes must not meet a wall: JointEmbedding does."""
    model = fill_encoder("joint")
    add_lora(model, LoRAConfig(4, 8.0, ("project", "qkv", "mlp.0"), parts="qkv"))
    model(*inputs("joint"))


# AdaLoRA


def adalora_config(**changes):
    return AdaLoRAConfig(
        **{
            "initial_rank": 5,
            "target_rank": 2,
            "total_steps": 30,
            "warmup": 4,
            "final": 8,
            "every": 2,
            "alpha": 6.0,
            "targets": ("first", "second"),
        }
        | changes
    )


def adalora_pair(dtype):
    ours, theirs = networks(dtype)
    add_adalora(ours, adalora_config())
    freeze_base(ours, keep=())
    theirs = peft.get_peft_model(
        theirs,
        peft.AdaLoraConfig(
            init_r=5,
            target_r=2,
            tinit=4,
            tfinal=8,
            deltaT=2,
            total_step=30,
            lora_alpha=6,
            beta1=0.85,
            beta2=0.85,
            target_modules=["first", "second"],
        ),
    )
    theirs = theirs.to(dtype)
    for name, p in theirs.named_parameters():  # `.to` makes peft's count of ranks a trained weight
        p.requires_grad_(".lora_" in name)
    fill(ours)
    for name in ("first", "second"):
        a, b = getattr(ours, name), getattr(theirs.base_model.model, name)
        with torch.no_grad():
            b.lora_A.default.copy_(a.Q[0])
            b.lora_B.default.copy_(a.P[0])
            b.lora_E.default.copy_(a.lam[0][:, None])
    return ours, theirs


def reference_orthogonality(theirs):
    total = [
        torch.linalg.matrix_norm(
            (p @ p.T if "lora_A" in n else p.T @ p) - torch.eye(5, dtype=p.dtype)
        )
        for n, p in theirs.named_parameters()
        if "lora_A" in n or "lora_B" in n
    ]
    return sum(total) / len(total)


@DTYPES
def test_adalora_equals_peft_through_a_whole_training(dtype):
    ours, theirs = adalora_pair(dtype)
    inner, allocator = theirs.base_model.model, RankAllocator(ours)
    xs, ys = data(dtype, steps=30)
    assert count_parameters(ours).trainable == theirs.get_nb_trainable_parameters()[0]
    # SGD: Adam divides a gradient of rounding errors by its own size
    optimizers = [
        torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=1e-2)
        for m in (ours, theirs)
    ]
    for step, (x, y) in enumerate(zip(xs, ys)):
        close(ours(x), theirs(x))
        penalties = orthogonality(ours), reference_orthogonality(theirs)
        close(*penalties)
        losses = [F.mse_loss(m(x), y) + 0.5 * p for m, p in zip((ours, theirs), penalties)]
        for loss, optimizer in zip(losses, optimizers):
            optimizer.zero_grad()
            loss.backward()
        close(ours.first.lam.grad[0], inner.first.lora_E.default.grad[:, 0])
        close(ours.first.P.grad[0], inner.first.lora_B.default.grad)
        for optimizer in optimizers:
            optimizer.step()
        allocator.update_and_allocate(step)
        theirs.base_model.update_and_allocate(step)
        budget, _ = theirs.base_model.rankallocator.budget_schedule(step)
        assert allocator.budget(step) == budget
        for name in ("first", "second"):
            a, b = getattr(ours, name), getattr(inner, name)
            assert a.lam.shape[1] == 5  # the shape stays, zeroes do the work
            close(a.lam[0], b.lora_E.default[:, 0])
    for name in ("first", "second"):
        a, b = getattr(ours, name), getattr(inner, name)
        assert ranks(ours)[name] == (b.lora_E.default != 0).sum()
    assert sum(ranks(ours).values()) == 4  # target_rank times two matrices
    close(ours(xs[0]), theirs(xs[0]))
    before = ours(xs[0])
    merge(ours)
    theirs.merge_adapter()
    close(ours(xs[0]), before)
    close(ours.first.base.weight, inner.first.base_layer.weight)


def test_without_the_allocation_call_every_rank_stays():
    ours, _ = adalora_pair(torch.float32)
    xs, ys = data(torch.float32, steps=30)
    optimizer = torch.optim.AdamW([p for p in ours.parameters() if p.requires_grad], lr=1e-2)
    for x, y in zip(xs, ys):
        optimizer.zero_grad()
        (F.mse_loss(ours(x), y) + 0.5 * orthogonality(ours)).backward()
        optimizer.step()
    assert ranks(ours) == {"first": 5, "second": 5}
    assert all((m.lam != 0).all() for _, m in tunings(ours))


def test_the_budget_is_the_cubic_of_the_paper():
    net, _ = networks(torch.float32)
    add_adalora(net, adalora_config())
    allocator = RankAllocator(net)
    assert [allocator.budget(t) for t in (0, 4, 22, 29)] == [10, 10, 4, 4]
    assert allocator.budget(13) == int(6 * (1 - 9 / 18) ** 3 + 4)


def test_adalora_refuses_a_call_at_the_wrong_time_and_wrong_sizes():
    net, _ = networks(torch.float32)
    with pytest.raises(ValueError, match="neither"):
        RankAllocator(net)
    add_adalora(net, adalora_config())
    with pytest.raises(ValueError, match=r"after loss.backward"):
        RankAllocator(net).update_and_allocate(0)
    for changes, message in [
        ({"target_rank": 6}, "target_rank"),
        ({"warmup": 22}, "total_steps"),
        ({"every": 0}, "every"),
        ({"smooth": 1.0}, "smooth"),
    ]:
        with pytest.raises(ValueError, match=message):
            adalora_config(**changes)


def test_fit_refuses_a_training_that_is_too_short_for_the_target_rank():
    """total_steps=30 with final=8: the last triplets go in update 23."""

    def run(updates):
        net, _ = networks(torch.float32)
        add_adalora(net, adalora_config())
        freeze_base(net, keep=())
        xs, ys = data(torch.float32, steps=updates)
        allocator = RankAllocator(net)
        fit(
            net,
            lambda m, batch: F.mse_loss(m(batch[0]), batch[1]),
            DataLoader(TensorDataset(xs, ys), batch_size=None),
            config=FitConfig(epochs=1),
            device="cpu",
            progress=False,
            after_update=allocator.update_and_allocate,
        )
        return sum(ranks(net).values())

    with pytest.raises(ValueError, match="reached in update 23, but the training has 22"):
        run(22)
    assert run(23) == 4


def test_a_stacked_matrix_has_a_rank_for_each_part():
    model = fill_encoder("joint")
    add_adalora(model, AdaLoRAConfig(4, 2, parts="qkv"))
    assert list(ranks(model).values()) == [4] * 6
    assert "encoder.layers.1.attention.qkv.v" in ranks(model)


# Prefix


def gpt2_pair():
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=20,
            n_positions=24,
            n_embd=32,
            n_layer=2,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            activation_function="gelu",
        )
    ).eval()
    return from_gpt2(theirs).eval(), theirs


@pytest.mark.parametrize("hidden", [0, 48])
def test_prefix_equals_peft_on_gpt2(hidden):
    """peft takes the prefix for tokens that were there before, and so numbers the first word
    `length` instead of 0; the positions of ours are moved to be compared."""
    ours, theirs = gpt2_pair()
    ours, theirs, length = ours.double(), theirs.double(), 5
    add_prefix(ours, PrefixConfig(length, hidden))
    freeze_base(ours, keep=())
    fill(ours)
    config = peft.PrefixTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=length,
        prefix_projection=bool(hidden),
        encoder_hidden_size=hidden or None,
    )
    theirs = peft.get_peft_model(theirs, config).double().eval()
    encoder = theirs.prompt_encoder.default
    prefix = ours.encoder.layers[0].attention.prefix
    with torch.no_grad():
        encoder.embedding.weight.copy_(prefix.embedding.weight)
        if hidden:
            for target, source in ((0, prefix.inner), (2, prefix.outer)):
                encoder.transform[target].weight.copy_(source.weight)
                encoder.transform[target].bias.copy_(source.bias)
        position = ours.position.weight.clone()
        ours.position.weight[: 24 - length].copy_(position[length:])
    x = torch.randint(0, 20, (3, 9))
    got, expected = ours(x), theirs(input_ids=x).logits
    close(got, expected)
    got.square().sum().backward(), expected.square().sum().backward()
    grad = encoder.embedding.weight.grad
    assert torch.allclose(prefix.embedding.weight.grad, grad, atol=1e-10 * grad.abs().max())
    assert count_parameters(ours).trainable == theirs.get_nb_trainable_parameters()[0]


def by_hand(attention, h, mask, keys, values):
    """Attention of one layer with a prefix, one head and one query after another."""
    q, k, v = F.linear(h, attention.qkv.weight, attention.qkv.bias).chunk(3, -1)
    size = h.shape[-1] // attention.heads
    out = torch.zeros_like(h)
    for b in range(len(h)):
        for head in range(attention.heads):
            part = slice(head * size, (head + 1) * size)
            all_k = torch.cat([keys[:, part], k[b][mask[b]][:, part]])
            all_v = torch.cat([values[:, part], v[b][mask[b]][:, part]])
            for t in range(h.shape[1]):
                weights = (all_k @ q[b, t, part] / math.sqrt(size)).softmax(0)
                out[b, t, part] = weights @ all_v
    return attention.out(out)


def test_prefix_on_an_encoder_equals_keys_and_values_put_in_front_by_hand():
    torch.manual_seed(0)
    model = TextEncoder(TextConfig(dim=16, layers=2, heads=2, mlp_dim=32, vocab_size=20)).double()
    add_prefix(model, PrefixConfig(length=3, hidden=8))
    fill(model)
    attention = model.encoder.layers[1].attention
    keys, values = attention.prefix.layer(1).chunk(2, dim=-1)  # (length, dim) each
    h = torch.randn(2, 5, 16, dtype=torch.float64)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    expected = by_hand(attention.base, h, mask, keys, values)
    got, weights = attention(h, mask=mask, need_weights=True)
    close(got, expected)
    close(attention(h, mask=mask)[0], expected)
    assert weights.shape == (2, 2, 5, 8)
    close(weights.sum(-1), torch.ones(2, 2, 5, dtype=torch.float64))
    assert (weights[1, :, :, 5:] == 0).all()  # masked words; never the prefix


def test_folding_keeps_the_outputs_and_drops_the_network():
    ours, _ = gpt2_pair()
    add_prefix(ours, PrefixConfig(length=4, hidden=8))
    freeze_base(ours, keep=())
    fill(ours)
    x = torch.randint(0, 20, (2, 6))
    before = ours(x)
    fold(ours)
    assert torch.allclose(ours(x), before, atol=1e-5)
    assert count_parameters(ours).trainable == 4 * 2 * 2 * 32  # length, layers, keys and values
    with pytest.raises(ValueError, match="folded"):
        fold(ours)


# Adapters


class ReferenceAdapter(nn.Module):
    """Written apart from the package: a hook on the output of a Linear."""

    def __init__(self, adapted):
        super().__init__()
        self.w = [
            t.detach().numpy()
            for t in (adapted.down.weight, adapted.down.bias, adapted.up.weight, adapted.up.bias)
        ]

    def __call__(self, module, args, output):
        down, a, up, b = self.w
        h = output.detach().numpy()
        z = torch.from_numpy(h @ down.T + a)
        gelu = 0.5 * z * (1 + torch.erf(z / math.sqrt(2)))
        return output + torch.from_numpy(gelu.numpy() @ up.T + b)


def test_adapters_equal_the_formula_in_every_layer():
    ours, bert = bert_pair()
    names = add_adapters(ours, AdapterConfig(width=6))
    fill(ours)
    for a, b in zip(ours.encoder.layers, bert.encoder.layer):
        b.attention.output.dense.register_forward_hook(ReferenceAdapter(a.attention.out))
        b.output.dense.register_forward_hook(ReferenceAdapter(a.mlp[2]))
    x = torch.randint(0, 30, (3, 9))
    close(ours(x), bert(x).last_hidden_state)
    assert len(names) == 4
    freeze_base(ours, keep=("norm1", "norm2"))
    each = 2 * 32 * 6 + 32 + 6
    assert count_parameters(ours).trainable == 4 * each + 4 * 2 * 32


def test_adapters_start_without_effect_and_refuse_a_start_without_a_gradient():
    ours, _ = bert_pair()
    x = torch.randint(0, 30, (2, 5))
    before = ours(x)
    add_adapters(ours)
    assert torch.equal(ours(x), before)
    with pytest.raises(ValueError, match="start: expected more than 0"):
        AdapterConfig(start=0.0)
    with pytest.raises(ValueError, match="TransformerLayers"):
        add_adapters(Net())


# Every method in every encoder

METHODS = {
    "lora": lambda m: add_lora(m),
    "adalora": lambda m: add_adalora(m),
    "adapters": lambda m: add_adapters(m),
    "prefix": lambda m: add_prefix(m),
}
ENCODERS = {"joint": JointEncoder, "late": TwoTowerEncoder, "cross": CrossAttentionEncoder}


def fill_encoder(kind):
    torch.manual_seed(0)
    return ENCODERS[kind](JointConfig(dim=32, layers=2, heads=4, mlp_dim=64, visual_dim=16)).eval()


def inputs(kind):
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 100, (3, 7), generator=generator)
    mask = torch.arange(7) < torch.tensor([[7], [3], [5]])
    return x, torch.randn(3, 16, 16, generator=generator), mask


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_in_every_encoder(method, kind):
    model = fill_encoder(kind)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    expected = model(*inputs(kind))
    METHODS[method](model)
    counts = freeze_base(model, keep=())
    assert 0 < counts.trainable < counts.total
    if method != "prefix":
        assert torch.allclose(model(*inputs(kind)), expected, atol=1e-6)
    fill(model)
    changed = model(*inputs(kind))
    assert not torch.allclose(changed, expected, atol=1e-3)
    assert torch.allclose(model(*inputs(kind), keep=1)[:, 0], changed[:, 0], atol=1e-5)
    (changed * torch.randn(changed.shape)).sum().backward()
    for name, p in model.named_parameters():
        assert (p.grad is not None and p.grad.abs().sum() > 0) == (name in tuning_names(model)), (
            name
        )
    with pytest.raises(ValueError, match="call `remove` first"):
        METHODS[method](model)
    remove(model)
    assert dict(model.state_dict().items()).keys() == state.keys()
    assert all(torch.equal(v, state[n]) for n, v in model.state_dict().items())
    assert torch.equal(model(*inputs(kind)), expected)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_in_real_minilm(method):
    model, tokenizer = load_minilm()
    x, mask = encode_texts(tokenizer, ["a red circle", "the quick brown fox jumps"])
    expected = model(x, mask)
    METHODS[method](model)
    freeze_base(model, keep=())
    got = model(x, mask)
    if method != "prefix":
        assert torch.allclose(got[mask], expected[mask], atol=1e-5)
    (got[mask] * torch.randn(got[mask].shape)).sum().backward()
    assert count_parameters(model).share < 0.05
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


# What is refused


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rank": 0}, "rank: expected at least 1"),
        ({"alpha": 0}, "alpha: expected more than 0"),
        ({"parts": "qx"}, "parts: expected different letters"),
        ({"parts": "qq"}, "parts: expected different letters"),
    ],
)
def test_configurations_that_make_no_sense(config, message):
    with pytest.raises(ValueError, match=message):
        LoRAConfig(**config)


def test_targets_that_are_not_there():
    net, before = networks(torch.float32)
    with pytest.raises(ValueError, match="such as one that ends in first, second, got 'third'"):
        add_lora(net, LoRAConfig(targets=("first", "third")))
    with pytest.raises(ValueError, match="a sequence of names"):
        add_lora(net, LoRAConfig(targets="first"))
    with pytest.raises(ValueError, match="rank: expected at most 6"):
        add_lora(net, LoRAConfig(rank=8, targets=("first", "second")))
    assert torch.equal(net.first.weight, before.first.weight)  # as it was
    with pytest.raises(ValueError, match="no 'head'"):
        freeze_base(net, keep=("head",))
    with pytest.raises(ValueError, match="all is frozen"):
        freeze_base(net, keep=())
    with pytest.raises(ValueError, match="a sequence of names of modules, got 'first'"):
        freeze_base(net, keep="first")


def test_freezing_keeps_the_head():
    net, _ = networks(torch.float32)
    add_lora(net, LoRAConfig(2, targets=("first",)))
    counts = freeze_base(net, keep=("second",))
    assert counts.trainable == 2 * (10 + 12) + 12 * 6 + 6
    assert counts.total == counts.trainable + 10 * 12 + 12
    assert counts.share == counts.trainable / counts.total
