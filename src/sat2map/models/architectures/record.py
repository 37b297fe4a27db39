"""What the rest of the package must know of an architecture. A record imports neither torch nor onnx."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sat2map.models.architectures.spec import GeneratorSpec
    from sat2map.models.onnx.graph import GraphBuilder, Tail


@dataclass(frozen=True)
class OutputLayer:
    """The last layer of a network: how its outputs lie in its weights.

    Attributes:
        name: Its name in the state dict.
        transposed: Whether it is a transposed convolution, whose outputs are the second dimension.
        phases: Channels for each output: 4 before a pixel shuffle.
    """

    name: str
    transposed: bool = False
    phases: int = 1


@dataclass(frozen=True)
class PretrainedEncoder:
    """Weights that an encoder can start from, out of an installed package.

    Attributes:
        name: The name in settings.
        extra: The extra of this package that installs them.
        prefix: What the encoder's names in the generator's state dict begin with.
        license: Licence and attribution, for the header of each model that starts from them.
        is_installed: Says whether the package is there.
        read: Reads the encoder's state dict for a number of bands.
    """

    name: str
    extra: str
    prefix: str
    license: str
    is_installed: Callable[[], bool]
    read: Callable[[int], dict[str, Tensor]]


@dataclass(frozen=True)
class Architecture:
    """A generator, described.

    A new one is a folder beside this file with a `record.py`, whose `ARCHITECTURES` holds records like this,
    and the modules that the record's functions import when they are called.

    Attributes:
        name: The name in settings and model files.
        label: What it is, for people, such as `U-Net`.
        size_divisor: Height and width of the input are multiples of this many pixels.
        build: Builds the PyTorch module, with PyTorch's own initial weights.
        build_onnx: Adds all layers but the last to an ONNX graph, for the input of that name.
        input_layer: Name of the layer in the state dict whose inputs are the bands of the source.
        output_layer: The last layer.
        gives_colours: Whether the output is logits of a palette's colours, and not an image.
        default_depth: The depth for a size of crops (px), where the settings give none.
        least_divisor: A smaller divisor with the default depth means that the crops were chosen badly.
        options: Fields of the specification that it makes use of, beside bands and classes.
        encoder: Pretrained weights that a training can start from.
    """

    name: str
    label: str
    size_divisor: Callable[[GeneratorSpec], int]
    build: Callable[[GeneratorSpec], nn.Module]
    build_onnx: Callable[[GraphBuilder, str], Tail]
    input_layer: str
    output_layer: Callable[[GeneratorSpec], OutputLayer]
    gives_colours: bool = False
    default_depth: Callable[[int], int] = lambda crop_size: 8
    least_divisor: int = 1
    options: tuple[str, ...] = ("width", "depth", "norm", "upsample")
    encoder: PretrainedEncoder | None = None

    def describe(self, spec: GeneratorSpec) -> str:
        """Describe a network in one line, such as `U-Net, width 64, depth 8`."""
        units = {"norm": "norm", "upsample": "upsampling"}
        options = [
            f"{getattr(spec, name)} {units[name]}" if name in units else f"{name} {getattr(spec, name)}"
            for name in self.options
        ]
        return ", ".join([f"{self.label} ({self.name})", *options])
