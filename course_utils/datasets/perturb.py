"""Random perturbations v' of pictures: what they change, the joint representation may forget.

Each takes pictures (images, 3, height, width) in [0, 1] and gives new ones of the same shape, with
random numbers of its own for every picture. Pass a `generator` on the pictures' device for the same
ones again.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "images 3 height width"]


def shift(images: Images, most: int = 4, generator: torch.Generator | None = None) -> Images:
    """Moves each picture by up to `most` pixels in each direction; the border is repeated."""
    _check(images, "most", most)
    count, _, height, width = images.shape
    size = (2, count, 1)
    by = torch.randint(-most, most + 1, size, generator=generator, device=images.device)
    rows = (torch.arange(height, device=images.device) + by[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + by[1]).clamp(0, width - 1)
    pixel = rows[:, :, None] * width + columns[:, None, :]  # (images, height, width)
    pixel = pixel.flatten(1)[:, None].expand(-1, 3, -1)  # (images, 3, height * width)
    return images.flatten(2).gather(2, pixel).view_as(images)


def brightness(
    images: Images, most: float = 0.2, generator: torch.Generator | None = None
) -> Images:
    """Multiplies each picture by a factor from 1 - `most` to 1 + `most`."""
    _check(images, "most", most)
    size = (len(images), 1, 1, 1)
    factor = 1 + most * (2 * torch.rand(size, generator=generator, device=images.device) - 1)
    return (images * factor).clamp(0, 1)


def noise(images: Images, std: float = 0.05, generator: torch.Generator | None = None) -> Images:
    """Adds normal noise with standard deviation `std` to every pixel."""
    _check(images, "std", std)
    normal = torch.randn(images.shape, generator=generator, device=images.device)
    return (images + std * normal).clamp(0, 1)


def mix_colours(
    images: Images, strength: float = 2.0, generator: torch.Generator | None = None
) -> Images:
    """Replaces each colour channel by a random mixture of the three, another one for each picture:
    shapes stay, colours do not. A larger `strength` gives more extreme mixtures."""
    _check(images, "strength", strength)
    size = (len(images), 3, 3)
    weights = strength * torch.randn(size, generator=generator, device=images.device)
    return torch.einsum("ncd,ndhw->nchw", weights.softmax(-1), images)


def perturb(images: Images, generator: torch.Generator | None = None) -> Images:
    """Shift, brightness and noise: changes that no answer of easy-VQA depends on."""
    return noise(brightness(shift(images, 4, generator), 0.2, generator), 0.05, generator)


def perturb_colour(images: Images, generator: torch.Generator | None = None) -> Images:
    """`perturb`, with mixed colours on top: it destroys what colour questions ask for."""
    return perturb(mix_colours(images, generator=generator), generator)


def _check(images: Tensor, name: str, value: float) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            "images: expected floats of shape (images, 3, height, width), got "
            f"{images.dtype} of shape {tuple(images.shape)}"
        )
    if value < 0:
        raise ValueError(f"{name}: expected 0 or more, got {value}")
