"""Convolutional networks: VGG and ResNet, with torchvision's names of parameters.

Both are called as every stem is: images (images, 3, height, width) -> v (images, patches, dim),
patches row by row from the top left; `classify` gives logits where `classes` is set.

VGG: Simonyan and Zisserman, arXiv 1409.1556. ResNet: He et al., arXiv 1512.03385, figures 2 and 5;
as in torchvision, a bottleneck's stride is in its 3x3 convolution.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

NORMS = ("batch", "group", "none")
GROUPS = 8  # of GroupNorm; a group's statistics come from one picture


def normalise(norm: str, channels: int) -> nn.Module:
    """The layer that normalises a feature map (images, channels, rows, columns).

    Raises:
        ValueError: an unknown `norm`, or channels that can't be cut into 8 groups.
    """
    if norm not in NORMS:
        raise ValueError(f"norm: expected one of {', '.join(NORMS)}; got {norm!r}")
    if norm == "group" and channels % GROUPS:
        raise ValueError(f"channels: expected a multiple of {GROUPS} for groups, got {channels}")
    layers = {"batch": nn.BatchNorm2d, "group": lambda c: nn.GroupNorm(GROUPS, c)}
    return layers[norm](channels) if norm in layers else nn.Identity()


def check_images(images: Tensor, multiple: int = 1) -> None:
    """Refuses what is no batch of colour pictures.

    Raises:
        ValueError: not (images, 3, height, width) floating point, or sides that are no multiples.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            "images: expected (images, 3, height, width) floating point, "
            f"got {tuple(images.shape)} {images.dtype}"
        )
    height, width = images.shape[-2:]
    if height < multiple or width < multiple or height % multiple or width % multiple:
        raise ValueError(
            f"images: expected sides that are multiples of {multiple}, got {height}x{width}"
        )


def as_patches(
    grid: Float[Tensor, "images dim rows columns"],
) -> Float[Tensor, "images patches dim"]:
    """A feature map as a row of patches."""
    return grid.flatten(2).transpose(1, 2)  # (images, patches, dim)


def logits(v: Float[Tensor, "images patches dim"], fc: nn.Linear | None) -> Tensor:
    """Logits (images, classes): a linear map of the mean over patches.

    Raises:
        ValueError: the network was made without classes.
    """
    if fc is None:
        raise ValueError("expected a network with classes=N, but this one has no classifier")
    return fc(v.mean(1))  # (images, classes)


# VGG


def vgg_block(c_in: int, c_out: int, convs: int = 2, norm: str = "none") -> list[nn.Module]:
    """`convs` 3x3 convolutions, each with ReLU, and a 2x2 max-pooling that halves the sides."""
    layers: list[nn.Module] = []
    for i in range(convs):
        layers.append(nn.Conv2d(c_in if i == 0 else c_out, c_out, 3, padding=1))
        if norm != "none":
            layers.append(normalise(norm, c_out))
        layers.append(nn.ReLU(inplace=True))
    return [*layers, nn.MaxPool2d(2)]


class VGG(nn.Module):
    """Blocks of 3x3 convolutions. The default is small, for 64x64: v is (images, 16, 64).

    `blocks` are (channels, convolutions) each. With ((64, 1), (128, 1), (256, 2), (512, 2),
    (512, 2)), `features` takes the state dict of torchvision's vgg11. The classifier is one linear
    map of the mean patch, not VGG's three large layers.

    Raises:
        ValueError: an unknown `norm`, or pictures whose sides aren't multiples of 2 ** blocks.
    """

    def __init__(
        self,
        blocks: Sequence[tuple[int, int]] = ((16, 1), (32, 1), (64, 2), (64, 2)),
        norm: str = "batch",
        classes: int | None = None,
    ):
        super().__init__()
        normalise(norm, GROUPS)  # refuses an unknown one
        self.dim, self.multiple = blocks[-1][0], 2 ** len(blocks)
        channels = [3, *(c for c, _ in blocks)]
        layers = [
            vgg_block(c_in, c_out, convs, norm) for c_in, (c_out, convs) in zip(channels, blocks)
        ]
        self.features = nn.Sequential(*(layer for block in layers for layer in block))
        self.fc = nn.Linear(self.dim, classes) if classes else None

    def forward(
        self, images: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images patches dim"]:
        check_images(images, self.multiple)
        return as_patches(self.features(images))  # (images, patches, dim)

    def classify(self, images: Tensor) -> Float[Tensor, "images classes"]:
        return logits(self(images), self.fc)  # (images, classes)


# ResNet


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, added to what came in: relu(x + F(x)).

    Where the sides or the channels change, x goes through a 1x1 convolution of the same stride.
    With residual=False the sum is left out, which is a plain network of the same parameters.
    """

    expansion = 1  # channels out / width

    def __init__(
        self, c_in: int, width: int, stride: int = 1, norm: str = "batch", residual: bool = True
    ):
        super().__init__()
        bias = norm == "none"  # a normalisation takes the mean away, and any bias with it
        self.conv1 = nn.Conv2d(c_in, width, 3, stride, padding=1, bias=bias)
        self.bn1 = normalise(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.bn2 = normalise(norm, width)
        self.relu = nn.ReLU(inplace=True)
        self.residual = residual
        self.downsample = shortcut(c_in, width, stride, norm) if residual else None

    def forward(self, x: Float[Tensor, "images c_in rows columns"]) -> Tensor:
        h = self.relu(self.bn1(self.conv1(x)))  # (images, width, rows / stride, columns / stride)
        h = self.bn2(self.conv2(h))  # (images, width, rows / stride, columns / stride)
        if self.residual:
            h += x if self.downsample is None else self.downsample(x)  # in place: no copy
        return self.relu(h)


class Bottleneck(nn.Module):
    """Narrow by 1x1, filter by 3x3, widen by 1x1 to 4 times the width; the block of ResNet-50."""

    expansion = 4

    def __init__(
        self, c_in: int, width: int, stride: int = 1, norm: str = "batch", residual: bool = True
    ):
        super().__init__()
        c_out, bias = 4 * width, norm == "none"
        self.conv1 = nn.Conv2d(c_in, width, 1, bias=bias)
        self.bn1 = normalise(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=bias)
        self.bn2 = normalise(norm, width)
        self.conv3 = nn.Conv2d(width, c_out, 1, bias=bias)
        self.bn3 = normalise(norm, c_out)
        self.relu = nn.ReLU(inplace=True)
        self.residual = residual
        self.downsample = shortcut(c_in, c_out, stride, norm) if residual else None

    def forward(self, x: Float[Tensor, "images c_in rows columns"]) -> Tensor:
        h = self.relu(self.bn1(self.conv1(x)))  # (images, width, rows, columns)
        h = self.relu(self.bn2(self.conv2(h)))  # (images, width, rows / stride, columns / stride)
        h = self.bn3(self.conv3(h))  # (images, 4 * width, rows / stride, columns / stride)
        if self.residual:
            h += x if self.downsample is None else self.downsample(x)  # in place: no copy
        return self.relu(h)


def shortcut(c_in: int, c_out: int, stride: int, norm: str) -> nn.Sequential | None:
    """What x goes through to be added; None where it fits as it is."""
    if stride == 1 and c_in == c_out:
        return None
    conv = nn.Conv2d(c_in, c_out, 1, stride, bias=norm == "none")
    return nn.Sequential(conv, normalise(norm, c_out))


class ResNet(nn.Module):
    """Four stages (or as many as `blocks` says) of residual blocks; each stage but the first halves
    the sides and doubles the width. The defaults are ResNet-18; `block=Bottleneck` with
    blocks=(3, 4, 6, 3) is ResNet-50.

    stem="small" is for 64x64: a 3x3 convolution without stride or pooling, so that v has 8x8
    patches instead of 2x2. Pictures come as the network was trained: torchvision's weights expect
    them normalised.

    Raises:
        ValueError: an unknown `norm` or `stem`, or something else than pictures.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (2, 2, 2, 2),
        width: int = 64,
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
        stem: str = "imagenet",
        norm: str = "batch",
        residual: bool = True,
        classes: int | None = None,
    ):
        super().__init__()
        if stem not in ("imagenet", "small"):
            raise ValueError(f"stem: expected 'imagenet' or 'small', got {stem!r}")
        bias = norm == "none"
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=bias)
            self.maxpool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=bias)
            self.maxpool = nn.Identity()
        self.bn1 = normalise(norm, width)
        self.relu = nn.ReLU(inplace=True)
        self.stages, channels = len(blocks), width
        for i, count in enumerate(blocks):
            layers = []
            for j in range(count):
                stride = 2 if i > 0 and j == 0 else 1
                layers.append(block(channels, width * 2**i, stride, norm, residual))
                channels = width * 2**i * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*layers))  # torchvision's names
        self.dim = channels
        self.fc = nn.Linear(channels, classes) if classes else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(
        self, images: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images patches dim"]:
        check_images(images)
        h = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # (images, width, rows, columns)
        for i in range(self.stages):
            h = getattr(self, f"layer{i + 1}")(h)  # (images, width * 2**i, rows, columns)
        return as_patches(h)  # (images, patches, dim)

    def classify(self, images: Tensor) -> Float[Tensor, "images classes"]:
        return logits(self(images), self.fc)  # (images, classes)
