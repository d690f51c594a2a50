"""Files of what was trained: the same outputs after loading, and every way in which they are "
"bad."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from course_utils.models.heads import AnswerHead
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.vision import ConvStem
from course_utils.models.vqa import VQAModel
from course_utils.peft import (
    AdaLoRAConfig,
    LoRAConfig,
    PrefixConfig,
    add_adalora,
    add_adapters,
    add_lora,
    add_prefix,
    count_parameters,
    fold,
    freeze_base,
    load_tuning,
    merge,
    save_tuning,
)
from course_utils.peft.base import tuning_names

METHODS = {
    "lora": lambda m: add_lora(m, LoRAConfig(4, 8.0)),
    "adalora": lambda m: add_adalora(m, AdaLoRAConfig(6, 3)),
    "adapters": add_adapters,
    "prefix": lambda m: add_prefix(m, PrefixConfig(4, 16)),
    "folded": lambda m: add_prefix(m, PrefixConfig(4, 0)),
}


def base(seed=0, head_seed=0):
    torch.manual_seed(seed)
    config = JointConfig(dim=32, layers=2, heads=4, mlp_dim=64, visual_dim=16, vocab_size=30)
    model = VQAModel(ConvStem(16), JointEncoder(config), nn.Identity())
    torch.manual_seed(head_seed)
    model.head = AnswerHead(32, 5)
    return model.eval()


def tuned(method="lora", keep=("head",)):
    model = base()
    METHODS[method](model)
    freeze_base(model, keep)
    torch.manual_seed(1)
    with torch.no_grad():
        for _name, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(0.3 * torch.randn_like(p))
    return model


def answer(model):
    torch.manual_seed(2)
    return model(torch.rand(2, 3, 64, 64), torch.tensor([0, 1, 1]), torch.randint(0, 30, (3, 6)))


@pytest.mark.parametrize("method", METHODS)
def test_a_file_on_its_base_gives_the_same_outputs(method, tmp_path):
    model = tuned(method)
    save_tuning(model, tmp_path / "t.safetensors")
    other = base(head_seed=7)  # the head comes out of the file
    load_tuning(other, tmp_path / "t.safetensors")
    assert torch.equal(answer(other), answer(model))
    assert count_parameters(other) == count_parameters(model)
    assert not other.training
    size = (tmp_path / "t.safetensors").stat().st_size
    assert size < 4 * count_parameters(model).trainable + 8000  # the base isn't in it


def test_equal_models_give_equal_files(tmp_path):
    model = tuned()
    for i in range(4):
        save_tuning(model, tmp_path / f"{i}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    with safe_open(tmp_path / "0.safetensors", "pt") as file:
        assert list(file.metadata()) and file.metadata()["method"] == "lora"


def test_half_precision_takes_half_the_room_and_is_nearly_the_same(tmp_path):
    model, halves = tuned(), base()
    save_tuning(model, tmp_path / "full.safetensors")
    save_tuning(model, tmp_path / "half.safetensors", torch.float16)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half")]
    load_tuning(halves, tmp_path / "half.safetensors")
    new = {n: p for n, p in model.named_parameters() if p.requires_grad}
    saved = 2 * sum(p.numel() for p in new.values())
    assert 0.9 * saved < sizes[0] - sizes[1] <= 1.1 * saved  # but for the descriptions
    for name, value in halves.named_parameters():
        assert value.dtype == torch.float32
        if name in new:
            assert torch.equal(value, new[name].half().float())


def test_a_folded_prefix_is_saved_folded(tmp_path):
    model = tuned("prefix")
    fold(model)
    save_tuning(model, tmp_path / "t.safetensors")
    other = base()
    assert load_tuning(other, tmp_path / "t.safetensors") == PrefixConfig(4, 0)
    assert torch.equal(answer(other), answer(model))


def test_ranks_that_were_kept_are_saved(tmp_path):
    model = tuned("adalora")
    first = model.encoder.encoder.layers[0].attention.qkv
    first.kept[0, :4] = False
    first.mask()
    save_tuning(model, tmp_path / "t.safetensors")
    other = base()
    load_tuning(other, tmp_path / "t.safetensors")
    assert torch.equal(other.encoder.encoder.layers[0].attention.qkv.kept, first.kept)


@pytest.mark.parametrize(
    ("target", "keep"), [("middle", ("out",)), ("out", ()), ("out", ("out",)), ("middle", ())]
)
def test_a_head_that_is_tied_to_the_table_of_words(target, keep, tmp_path):
    def tied():
        torch.manual_seed(0)
        model = nn.ModuleDict({"words": nn.Embedding(11, 16), "middle": nn.Linear(16, 16)})
        model["out"] = nn.Linear(16, 11, bias=False)
        model["out"].weight = model["words"].weight
        return model

    def output(model):
        return model["out"](model["middle"](model["words"](torch.arange(11))))

    model, other = tied(), tied()
    add_lora(model, LoRAConfig(2, targets=(target,), parts=""))
    freeze_base(model, keep)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.3 * torch.randn_like(p))
    save_tuning(model, tmp_path / "t.safetensors")
    load_tuning(other, tmp_path / "t.safetensors")
    assert torch.equal(output(other), output(model))
    assert count_parameters(other) == count_parameters(model)


def unchanged(model, state):
    return all(torch.equal(v, state[n]) for n, v in model.state_dict().items())


def test_another_base_is_refused_and_stays_as_it_was(tmp_path):
    save_tuning(tuned(), tmp_path / "t.safetensors")
    for other in (base(seed=5), VQAModel(nn.Identity(), base().encoder, base().head)):
        state = {n: v.clone() for n, v in other.state_dict().items()}
        with pytest.raises(
            ValueError, match=r"belongs to another base: expected SHA-256 [0-9a-f]{64}"
        ):
            load_tuning(other, tmp_path / "t.safetensors")
        assert unchanged(other, state) and not tuning_names(other)


def test_a_base_that_differs_in_one_weight_is_refused(tmp_path):
    save_tuning(tuned(), tmp_path / "t.safetensors")
    other = base()
    with torch.no_grad():
        other.encoder.encoder.layers[1].mlp[0].weight[3, 3] += 1e-6
    with pytest.raises(ValueError, match="another base"):
        load_tuning(other, tmp_path / "t.safetensors")


def test_another_head_is_refused(tmp_path):
    save_tuning(tuned(), tmp_path / "t.safetensors")
    other = base()
    other.head = AnswerHead(32, 9)
    with pytest.raises(ValueError, match=r"head.layers.3.bias \(5,\), the model has .*\(9,\)"):
        load_tuning(other, tmp_path / "t.safetensors")


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="it has none"):
        save_tuning(base(), tmp_path / "t.safetensors")
    model = tuned()
    merge(model)
    with pytest.raises(ValueError, match="call `unmerge` before saving"):
        save_tuning(model, tmp_path / "t.safetensors")
    model = base()
    add_lora(model)
    with pytest.raises(ValueError, match="call `freeze_base`"):
        save_tuning(model, tmp_path / "t.safetensors")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_loaded(tmp_path):
    path = tmp_path / "t.safetensors"
    with pytest.raises(FileNotFoundError, match="no file"):
        load_tuning(base(), path)
    save_tuning(tuned(), path)
    with pytest.raises(ValueError, match="call `remove` first"):
        load_tuning(tuned(), path)
    content = path.read_bytes()
    path.write_bytes(content[:500])
    with pytest.raises(ValueError, match="damaged"):
        load_tuning(base(), path)
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"expected format 'course_utils.peft 1', got None"):
        load_tuning(base(), path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("method", "magic"), ("config", "{"), ("config", '{"size": 1}'), ("trained", "3")],
)
def test_damaged_descriptions(tmp_path, key, value):
    path = tmp_path / "t.safetensors"
    save_tuning(tuned(), path)
    with safe_open(path, "pt") as file:
        about, tensors = file.metadata(), {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata=about | {key: value})
    with pytest.raises(ValueError, match="its description is damaged"):
        load_tuning(base(), path)
    assert json.loads(about["config"])["rank"] == 4


def test_a_missing_tensor_is_named(tmp_path):
    path = tmp_path / "t.safetensors"
    save_tuning(tuned(), path)
    with safe_open(path, "pt") as file:
        about, tensors = file.metadata(), {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118
    gone = next(n for n in tensors if n.endswith("qkv.A"))
    del tensors[gone]
    save_file(tensors, path, metadata=about)
    with pytest.raises(ValueError, match=f"{gone} is missing"):
        load_tuning(base(), path)
