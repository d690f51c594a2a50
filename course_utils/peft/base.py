"""What the methods of parameter-efficient tuning share: finding their places in a model, freezing
the rest, counting, and taking everything out again."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torch import nn


class Tuning(nn.Module):
    """A module with new parameters that stands in the place of `base`, a module of the model.

    Everything in it that isn't in `base` is new, and is what gets trained and saved.
    """

    def __init__(self, base: nn.Module, config: object):
        super().__init__()
        self.base = base
        self.config: Any = config  # the dataclass of the method, which is saved with the weights

    @property
    def merged(self) -> bool:
        """Whether the change is inside `base` now: only one of low rank can be."""
        return False

    def unmerge(self) -> None:
        """Takes the change out of `base`, where it can be in it."""
        raise NotImplementedError


class Counts(NamedTuple):
    """How many parameters get a gradient, of how many."""

    trainable: int
    total: int

    @property
    def share(self) -> float:
        """Trainable parameters per parameter, from 0 to 1."""
        return self.trainable / self.total


def count_parameters(model: nn.Module) -> Counts:
    """Trainable and all parameters, shared ones once. New ones count in both numbers."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return Counts(sum(n for n, trained in sizes if trained), sum(n for n, _ in sizes))


def matching(model: nn.Module, targets: Sequence[str], kind: type = nn.Module) -> list[str]:
    """Names of the modules of a `kind` that `targets` mean: a full name, or its last parts, so that
    "mlp.0" is the first module of the two-layer network of every layer.

    Raises:
        ValueError: no target, one that is no such module, or a model with a method in it already.
    """
    if isinstance(targets, str) or not targets:
        raise ValueError(f"targets: expected a sequence of names of modules, got {targets!r}")
    refuse_tuned(model)
    names = [name for name, module in model.named_modules() if isinstance(module, kind) and name]
    for target in targets:
        if not any(means(name, target) for name in names):
            last = sorted({name.rpartition(".")[2] for name in names})
            raise ValueError(
                f"targets: expected the name of a {kind.__name__}, such as one that ends in "
                f"{', '.join(last) or '(the model has none)'}, got {target!r}"
            )
    return [name for name in names if any(means(name, target) for target in targets)]


def means(name: str, target: str) -> bool:
    """Whether a module's name is `target`, or ends in it after a dot."""
    return name == target or name.endswith("." + target)


def refuse_tuned(model: nn.Module) -> None:
    """ValueError where the model has a tuning method in it already."""
    tuned = next(tunings(model), None)
    if tuned is not None:
        name, module = tuned
        raise ValueError(
            f"expected a model without a tuning method, but {name or 'the model'} is a "
            f"{type(module).__name__} already: call `remove` first"
        )


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Puts `module` in the place of the module called `name`."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def tunings(model: nn.Module) -> Iterator[tuple[str, Tuning]]:
    """Name and module of everything that a tuning method put into the model."""
    return ((n, m) for n, m in model.named_modules() if isinstance(m, Tuning))


def tuning_names(model: nn.Module) -> set[str]:
    """Names of the new parameters and buffers; what several layers share is named once."""
    names = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    return {
        name
        for name in names
        if any(
            name.startswith(f"{where}.") and not name.startswith(f"{where}.base.")
            for where, _ in tunings(model)
        )
    }


def freeze_base(model: nn.Module, keep: Sequence[str]) -> Counts:
    """Freezes all but the new parameters and the modules that `keep` names, such as ("head",).

    A head that nobody trained before must be kept: `keep` has no default so that it isn't
    forgotten. Houlsby and others also train the normalisations: ("head", "norm1", "norm2").
    Build the optimiser afterwards.

    Raises:
        ValueError: a name in `keep` is no module of the model, or nothing would be trained.
    """
    if isinstance(keep, str):
        raise ValueError(f"keep: expected a sequence of names of modules, got {keep!r}")
    modules = dict(model.named_modules())
    kept = {
        target: [m for name, m in modules.items() if name and means(name, target)]
        for target in keep
    }
    for target, found in kept.items():
        if not found:
            raise ValueError(f"keep: expected names of modules, but the model has no {target!r}")
    new = tuning_names(model)
    if not new and not kept:
        raise ValueError("expected a tuning method in the model or a module to keep: all is frozen")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in new)
    for found in kept.values():
        for module in found:
            module.requires_grad_(True)
    return count_parameters(model)


def remove(model: nn.Module) -> None:
    """Takes the method out of the model: its modules are what they were before, to the bit."""
    for name, module in list(tunings(model)):
        if module.merged:
            module.unmerge()
        replace(model, name, module.base)
