"""Trained weights from a safetensors file."""

import textwrap
from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_model
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def load_weights(model: Model, path: Path) -> Model:
    """Fills `model` with the weights of a safetensors file and puts it into eval mode.

    Raises:
        FileNotFoundError: no such file; the message says how to make it.
        ValueError: the file is damaged or holds another model's weights.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"expected weights in {path}; make them with `python -m course_utils.studies.recipes "
            f"{path.stem}`"
        )
    try:
        load_model(model, str(path))
    except Exception as error:  # safetensors and torch raise several kinds
        reason = textwrap.shorten(str(error), 300, placeholder=" ...")  # names the first tensors
        raise ValueError(f"expected the weights of this model in {path.name}: {reason}") from None
    return model.eval()
