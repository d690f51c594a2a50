"""What was trained, in a safetensors file of its own, next to the SHA-256 of its base.

Saved are the new parameters, and the parts of the model that were trained with them, such as the
head. The hash is that of all the rest: load the same base, with any head, and put the file on it.
"""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from course_utils.cache import whole_file
from course_utils.peft.adalora import AdaLoRAConfig, add_adalora
from course_utils.peft.adapter import AdapterConfig, add_adapters
from course_utils.peft.base import refuse_tuned, tuning_names, tunings
from course_utils.peft.lora import LoRAConfig, add_lora
from course_utils.peft.prefix import PrefixConfig, add_prefix

METHODS = {
    "adapters": (AdapterConfig, add_adapters),
    "prefix": (PrefixConfig, add_prefix),
    "lora": (LoRAConfig, add_lora),
    "adalora": (AdaLoRAConfig, add_adalora),
}
FORMAT = "course_utils.peft 1"


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_tuning(model: nn.Module, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Writes what was trained to `path`, its numbers as `dtype`; the base isn't in it.

    Raises:
        ValueError: the model has no tuning method, its factors are merged, or all of it is
            trained, so that there is no base.
    """
    found = [module for _, module in tunings(model)]
    if not found:
        raise ValueError("expected a model with a tuning method in it, but it has none")
    if any(module.merged for module in found):
        raise ValueError("expected factors that aren't merged: call `unmerge` before saving")
    new, trained, base = _parts(model)
    if not base:
        raise ValueError("expected a frozen base: call `freeze_base` before training")
    config = found[0].config
    method = next(name for name, (kind, _) in METHODS.items() if isinstance(config, kind))
    about = {
        "format": FORMAT,
        "method": method,
        "config": json.dumps(asdict(config)),
        "base_sha256": fingerprint(base),
        "trained": json.dumps(sorted(trained)),
    }
    tensors = {
        n: (t.to(dtype) if t.is_floating_point() else t).detach().cpu().contiguous().clone()
        for n, t in (new | trained).items()
    }
    with whole_file(Path(path)) as part:
        part.write_bytes(_in_order(save(tensors, metadata=about)))


def _in_order(file: bytes) -> bytes:
    """A safetensors file whose description is sorted: safetensors writes it in a random order, and
    two equal trainings should give equal files. A header is JSON after its length in 8 bytes."""
    size = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + file[8 + size :]


def load_tuning(model: nn.Module, path: str | Path) -> object:
    """Puts what `save_tuning` wrote onto its base, in place, in eval mode and frozen as it was when
    it was saved; the configuration of the method. A refused file leaves the model as it was.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or something else, the model is tuned already, or it is
            another base.
    """
    refuse_tuned(model)
    about, tensors = _read(Path(path))
    try:
        kind, add = METHODS[about["method"]]
        config = kind(
            **{
                key: tuple(value) if isinstance(value, list) else value
                for key, value in json.loads(about["config"]).items()
            }
        )
        trained, expected = set(json.loads(about["trained"])), about["base_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: its description is damaged: {error!r}") from None
    state = model.state_dict()
    wrong = next(
        (
            n
            for n in sorted(trained)
            if n not in state or n not in tensors or state[n].shape != tensors[n].shape
        ),
        None,
    )
    if wrong is not None:
        raise ValueError(
            f"{path} has {_shape(tensors, wrong)}, the model has {_shape(state, wrong)}"
        )
    got = fingerprint({name: value for name, value in state.items() if name not in trained})
    if got != expected:
        raise ValueError(f"{path} belongs to another base: expected SHA-256 {expected}, got {got}")
    trial = copy.deepcopy(model)
    add(trial, config)
    new = tuning_names(trial)
    if new | trained != set(tensors):
        odd = sorted((new | trained) ^ set(tensors))[0]
        raise ValueError(f"{path} is damaged: {odd} is missing or doesn't belong there")
    _fill(trial, tensors, path)
    add(model, config)
    _fill(model, tensors, path)
    filled = {id(value) for name, value in _here(model).items() if name in tensors}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in filled)
    model.eval()
    return config


def _parts(model: nn.Module) -> tuple[dict, dict, dict]:
    """State of the new parts, of trained parts of the old model, and of the frozen base, the last
    under the names that it has without the method."""
    state, names = model.state_dict(keep_vars=True), tuning_names(model)
    places = [name for name, _ in tunings(model)]
    alive = {name for name, p in model.named_parameters() if p.requires_grad}
    owners = {name.rpartition(".")[0] for name in alive}
    shared = {id(state[name]) for name in names}  # a prefix stands in the state of every layer
    new, trained, base = {}, {}, {}
    for name, value in state.items():
        if id(value) in shared:
            if name in names:
                new[name] = value
        elif isinstance(value, nn.Parameter):
            (trained if value.requires_grad else base)[_plain(name, places)] = value
        else:  # a buffer, such as a running mean, belongs to the parameters beside it
            (trained if name.rpartition(".")[0] in owners else base)[_plain(name, places)] = value
    return new, trained, base


def _plain(name: str, places: list[str]) -> str:
    for place in places:
        name = name.replace(f"{place}.base.", f"{place}.") if name.startswith(place) else name
    return name


@torch.no_grad()
def _fill(model: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    here = _here(model)
    for name, value in tensors.items():
        if here[name].shape != value.shape:
            raise ValueError(
                f"{path} has {_shape(tensors, name)}, the model has {_shape(here, name)}"
            )
        here[name].copy_(value)


def _here(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers under the names that they have in a file, tied ones under each."""
    places = [name for name, _ in tunings(model)]
    both = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    return {_plain(name, places): value for name, value in both}


def _shape(tensors: Mapping[str, Tensor], name: str) -> str:
    return f"{name} {tuple(tensors[name].shape)}" if name in tensors else f"no {name}"


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"expected what save_tuning wrote in {path}, but there is no file")
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from None
    if about.get("format") != FORMAT:
        raise ValueError(f"{path}: expected format {FORMAT!r}, got {about.get('format')!r}")
    return about, tensors
