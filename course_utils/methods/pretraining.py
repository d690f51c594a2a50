"""Pretraining on pairs: the world's captions for the course's small joint model, and emoji for one
that stands on real pretrained weights."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_model
from tokenizers import Tokenizer
from torch import Tensor, nn

from course_utils.datasets.emoji import load_emoji
from course_utils.datasets.features import cached_features
from course_utils.datasets.pairs import PairBatch, PairData, join, load_captions, named, pair_loader
from course_utils.datasets.text import CLS, MASK, token_id
from course_utils.methods import pretraining_losses as losses
from course_utils.models.joint import JointConfig, JointEncoder
from course_utils.models.pretrained import load_efficientnet_lite0, load_minilm, read_weights
from course_utils.models.pretraining import JointPretraining, WordPieces, patch_pixels
from course_utils.models.text import encode_texts
from course_utils.models.vision import ConvStem
from course_utils.objectives.contrastive import hard_negatives
from course_utils.objectives.language import mask_tokens
from course_utils.training.fit import FitConfig, History, fit


@dataclass(frozen=True)
class Pretraining:
    """Which losses an update adds up, and on how much of the words and patches."""

    words: bool = True  # masked words, given the picture
    contrast: bool = True  # pictures alone against texts alone
    match: str = "hard"  # matching with "hard" or "random" negatives; "" for none
    alone: bool = True  # masked words without pictures, hidden patches without words
    share: float = 0.3  # of the words that are masked; captions are short
    hidden: float = 0.5  # share of the patches that are hidden


def pretraining_objective(
    recipe: Pretraining, mask_id: int, choices: Tensor, generator: torch.Generator
):
    """(model, batch) -> loss, to be handed to `fit`.

    Args:
        choices: (vocab_size,) the number of each token among the words that can be guessed; -1 for
            tokens that can't, such as [PAD]. Only the others are masked.
        generator: of masks, hidden patches and negatives.
    """
    words = (choices >= 0).nonzero()[:, 0]  # (words that can be guessed,) token ids

    def masked(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        maskable = mask & (choices.to(x.device)[x] >= 0)  # (batch, words)
        shown, labels = mask_tokens(
            x, maskable, mask_id, len(choices), recipe.share, generator, words=words
        )  # (batch, words) each
        number = choices.to(x.device)[labels.clamp(min=0)]  # (batch, words)
        return shown, torch.where(labels < 0, labels, number)

    def objective(model: JointPretraining, batch: PairBatch) -> Tensor:
        v = model.stem(batch.images)  # (batch, patches, visual_dim)
        x, mask, right = batch.x, batch.mask, batch.right
        loss, scores = v.new_zeros(()), torch.zeros(right.shape, device=v.device)
        if recipe.words:
            shown, labels = masked(x, mask)
            loss = loss + losses.masked_words(model, v, shown, mask, labels)
        if recipe.contrast:
            term, scores = losses.contrast(model, v, x, mask, right)
            loss = loss + term
        if recipe.match:
            scores = scores if recipe.match == "hard" else torch.zeros_like(scores)
            wrong = hard_negatives(scores, right, generator)  # (batch,)
            loss = loss + losses.matching(model, v, x, mask, wrong)
        if recipe.alone:
            shown, labels = masked(x, mask)
            loss = loss + losses.masked_words(model, None, shown, mask, labels)
        if recipe.alone and batch.images.ndim == 4:
            hidden = torch.rand(v.shape[:2], generator=generator, device=v.device) < recipe.hidden
            loss = loss + losses.hidden_patches(model, v, patch_pixels(batch.images), hidden)
        return loss

    return objective


def guessable(data: PairData) -> Tensor:
    """(vocab_size,) the number of each token that is a word of `data`; -1 for the others."""
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    special = [data.tokenizer.token_to_id(name) for name in names]
    found = data.x[data.mask].unique()  # (tokens,)
    found = found[~torch.isin(found, torch.tensor([t for t in special if t is not None]))]
    choices = torch.full((data.tokenizer.get_vocab_size(),), -1)
    choices[found] = torch.arange(len(found))
    return choices


# The world

WORLD_PAIRS_FIT = FitConfig(epochs=24, lr=3e-3, warmup=0.1)
PAIRS_PER_BATCH = 32


def world_pairs(part: str = "train", scenes: int = 6000, per_scene: int = 4) -> PairData:
    """Captions in English and Chinese. Combinations of HELD_OUT are in none of them."""
    return load_captions("composition", part, scenes, languages=("en", "zh"), per_scene=per_scene)


def world_pretraining_model(tokenizer: Tokenizer) -> JointPretraining:
    """The joint model of lesson 08 in size, with heads for pretraining."""
    config = JointConfig(
        dim=64, layers=2, heads=8, mlp_dim=128, vocab_size=tokenizer.get_vocab_size()
    )
    stem = ConvStem(config.visual_dim)
    return JointPretraining(stem, JointEncoder(config), token_id(tokenizer, CLS))


def pretrain_world(
    seed: int = 0,
    recipe: Pretraining = Pretraining(),
    config: FitConfig = WORLD_PAIRS_FIT,
    checkpoint: Path | None = None,
    device: str | torch.device | None = None,
) -> tuple[JointPretraining, History]:
    """Pretrains the joint model of the world on captions. The last weights are kept."""
    data = world_pairs()
    torch.manual_seed(seed)
    model = world_pretraining_model(data.tokenizer)
    choices = torch.arange(data.tokenizer.get_vocab_size())  # every token has a logit,
    choices[guessable(data) < 0] = -1  # but special ones are never asked for
    return _pretrain(model, data, choices, seed, recipe, config, checkpoint, device)


def _pretrain(
    model: JointPretraining,
    data: PairData,
    choices: Tensor,
    seed: int,
    recipe: Pretraining,
    config: FitConfig,
    checkpoint: Path | None,
    device: str | torch.device | None,
) -> tuple[JointPretraining, History]:
    mask_id = token_id(data.tokenizer, MASK)
    objective = pretraining_objective(recipe, mask_id, choices, torch.Generator().manual_seed(seed))
    history = fit(
        model,
        objective,
        pair_loader(data, PAIRS_PER_BATCH, seed),
        config=config,
        checkpoint=checkpoint,
        device=device,
    )
    return model, history


# Real pictures and real weights

REAL_PAIRS_FIT = FitConfig(epochs=8, lr=2e-3, warmup=0.1)
REAL_SIDE = 128  # pictures are enlarged to this: 16 patches of EfficientNet-Lite0
REAL_WORDS = 32  # longest text, in tokens


def real_pretraining_model(words: Tensor) -> JointPretraining:
    """A joint encoder of three layers over frozen EfficientNet-Lite0 grid features (the stem is the
    identity: features come from `grid_features`) and MiniLM's frozen WordPiece vectors.

    Args:
        words: (choices,) ids of the tokens that can be guessed.

    Raises:
        FileNotFoundError, ValueError: as `load_minilm`.
    """
    minilm, tokenizer = load_minilm()
    table = minilm.token.weight.detach()  # (vocab_size, 384)
    config = JointConfig(
        dim=128,
        layers=3,
        heads=4,
        mlp_dim=512,
        dropout=0.1,
        visual_dim=1280,
        patches=16,
        vocab_size=len(table),
        max_words=REAL_WORDS,
    )
    token = WordPieces(table / table.std(), config.dim)  # as large as patches
    encoder = JointEncoder(config, token=token)
    return JointPretraining(nn.Identity(), encoder, token_id(tokenizer, CLS), words)


def grid_features(name: str, images: Tensor) -> Tensor:
    """EfficientNet-Lite0's features (pictures, 16, 1280) of uint8 pictures, kept on disk."""
    net = load_efficientnet_lite0()
    name = f"{name}-{REAL_SIDE}"  # what the key can't see
    return cached_features(name, images, net, lambda some: net.grid(some, REAL_SIDE))


def real_pairs(scenes: int = 3000) -> PairData:
    """Emoji of the training part, twice, and pictures of the world, with English texts. The emoji
    come first; HELD_OUT combinations of the world are in no text."""
    _, tokenizer = load_minilm()
    emoji = load_emoji("train")
    names = named(
        emoji,
        encode_texts(tokenizer, [*emoji.names, *emoji.texts()], REAL_WORDS),
        tokenizer,
        grid_features("emoji-train", emoji.images),
    )
    world = load_captions("composition", "train", scenes)
    told = encode_texts(tokenizer, world.texts, REAL_WORDS)
    world = replace(
        world,
        images=grid_features("world-pairs", world.images),
        x=told[0],
        mask=told[1],
        tokenizer=tokenizer,
        own=world.own[:, :2],
    )
    return join([names, names, world])


def pretrain_real(
    seed: int = 0,
    recipe: Pretraining = Pretraining(),
    config: FitConfig = REAL_PAIRS_FIT,
    checkpoint: Path | None = None,
    device: str | torch.device | None = None,
) -> tuple[JointPretraining, History]:
    """Pretrains the joint model for real pictures. The last weights are kept."""
    data = real_pairs()
    torch.manual_seed(seed)
    choices = guessable(data)
    model = real_pretraining_model((choices >= 0).nonzero()[:, 0])
    return _pretrain(model, data, choices, seed, recipe, config, checkpoint, device)


def load_real_pretrained(path: Path) -> JointPretraining:
    """The model of `pretrain_real` with the weights in a safetensors file, in eval mode.

    Raises:
        FileNotFoundError: no such file, or MiniLM's weights are not here.
        ValueError: the file is damaged or holds another model's weights.
    """
    words = read_weights(Path(path)).get("words")  # (choices,) token ids
    if words is None:
        raise ValueError(f"expected the weights of the joint model for real pictures in {path}")
    model = real_pretraining_model(words)
    try:
        load_model(model, str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"expected the weights of this model in {path}: {reason}") from None
    return model.eval()
