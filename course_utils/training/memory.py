"""What a model keeps for the backward pass, counted; and activation checkpointing, which keeps less
and computes it again (Chen et al., arXiv 1604.06174)."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint


def checkpoint_layers(encoder: nn.Module, on: bool = True) -> nn.Module:
    """Makes an encoder keep only the input of each of its `layers` for the backward pass, which
    then computes the layer again. Outputs, gradients, names of weights and dropout's random
    numbers stay the same. `on=False` undoes it. In place; returns `encoder`.

    Raises:
        ValueError: the module has no list `layers`; pass the Transformer itself.
    """
    layers = getattr(encoder, "layers", None)
    if not isinstance(layers, (nn.ModuleList, nn.Sequential)):
        raise ValueError(
            "encoder: expected a module with a ModuleList `layers`, such as a TransformerEncoder, "
            f"got {type(encoder).__name__}"
        )
    for layer in layers:
        layer.__dict__.pop("forward", None)  # back to the class's own
        if on:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    return encoder


def saved_bytes(fn: Callable[[], Tensor], model: nn.Module | None = None) -> int:
    """Bytes of the activations that autograd keeps from `fn`'s forward pass for the backward pass.

    Memory that several saved tensors share counts once; parameters and buffers of `model` don't
    count, as they are there anyway. With checkpointing, the backward pass needs for a while also
    what one layer keeps.

    Args:
        fn: computes a loss with gradients, such as `lambda: objective(model, batch)`.
    """
    own = set()
    if model is not None:
        own = {_address(t) for t in (*model.parameters(), *model.buffers())}
    kept: dict[tuple, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if _address(tensor) not in own:
            kept[_address(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = fn()  # holds the graph, so that no memory is freed and used again
    if not loss.requires_grad:
        raise ValueError("fn: expected a loss with gradients, got one that needs none")
    return sum(kept.values())


def _address(tensor: Tensor) -> tuple:
    return tensor.device, tensor.untyped_storage().data_ptr()
