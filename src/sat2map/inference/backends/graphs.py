"""What the engines that run graphs share: where a graph comes from, and how pixels go in and out."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ModelFileError
from sat2map.images.pixels import from_unit, to_unit
from sat2map.inference.backends.options import EngineOptions
from sat2map.inference.likeliest import likeliest
from sat2map.inference.tiling import Area
from sat2map.models.model_file import ModelHeader, is_exported, read_arrays, read_header

if TYPE_CHECKING:
    import onnx

    from sat2map.models.onnx.generator_graph import LightGraph

_shared: ContextVar[dict[Hashable, LightGraph] | None] = ContextVar("shared_graphs", default=None)
Built = TypeVar("Built", "onnx.ModelProto", "LightGraph")

Run = Callable[[NDArray[np.generic]], list[NDArray[np.generic]]]


def make_graph(
    model: Path,
    header: ModelHeader,
    *,
    uint8_io: bool = False,
    image_only: bool = False,
) -> bytes:
    """Return a model file's network as a serialized ONNX graph (see `generator_graph.build_graph`).

    Args:
        model: The model file.
        header: Its header.
        uint8_io: Take and give uint8.
        image_only: The same, and leave the class head out; without effect on a network of colour logits.

    Raises:
        ModelFileError: The weights do not fit the header, or the model runs in `paper` mode only.
    """
    from sat2map.models.onnx.generator_graph import build_graph

    proto = _build(build_graph, model, header, uint8_io=uint8_io, image_only=image_only)
    content: bytes = proto.SerializeToString()
    return content


def make_light_graph(model: Path, header: ModelHeader, *, image_only: bool = False) -> LightGraph:
    """Return a model file's network as OpenVINO runs it fastest, with its large weights apart.

    Arguments and errors are as in `make_graph`. A graph of a hundred megabytes takes seconds to write into
    bytes and to read again; its weights as they are take none.
    """
    from sat2map.models.onnx.generator_graph import build_light_graph

    shared, key = _shared.get(), (model, header.generator, image_only)
    if shared is not None and key in shared:
        return shared[key]
    graph = _build(build_light_graph, model, header, image_only=image_only, openvino=True)
    if shared is not None:
        shared[key] = graph
    return graph


def _build(
    build: Callable[..., Built],
    model: Path,
    header: ModelHeader,
    *,
    uint8_io: bool = False,
    image_only: bool = False,
    openvino: bool = False,
) -> Built:
    refuse_paper_mode(model, header)
    image_only = image_only and not header.generator.colours
    try:
        return build(
            header.generator,
            read_arrays(model),
            pixels=uint8_io or image_only,
            classes=not image_only,
            palette=header.palette,
            openvino=openvino,
        )
    except ModelFileError as error:
        raise ModelFileError(f"{model}: {error}") from None


@contextlib.contextmanager
def shared_graphs() -> Iterator[None]:
    """Build each light graph once within this `with`, however many engines open it."""
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


def read_graph(model: Path, options: EngineOptions) -> tuple[bytes | Path, ModelHeader]:
    """Return what a runtime opens, the graph of a model file or an exported file itself, and the header.

    Raises:
        ModelFileError: The model cannot be used, or runs in `paper` mode only.
    """
    header = _header_in_mode(model, options)
    if is_exported(model):
        return model, header
    return make_graph(model, header, image_only=options.image_only), header


def read_light_graph(model: Path, options: EngineOptions) -> tuple[LightGraph | Path, ModelHeader]:
    """Do the same with `make_light_graph`."""
    header = _header_in_mode(model, options)
    if is_exported(model):
        return model, header
    return make_light_graph(model, header, image_only=options.image_only), header


def _header_in_mode(model: Path, options: EngineOptions) -> ModelHeader:
    header = read_header(model)
    if options.mode is not None:
        header = header.model_copy(update={"inference_mode": options.mode})
    refuse_paper_mode(model, header)
    return header


def refuse_paper_mode(model: Path, header: ModelHeader) -> None:
    """Complain of a model whose pictures depend on the batch and on chance."""
    if header.inference_mode == "paper":
        what = "was exported in eval mode" if is_exported(model) else "is used in paper mode"
        raise ModelFileError(
            f"{model} {what}, and only PyTorch runs the statistics of the batch and dropout",
            hint="use the mode eval, or the engine torch with the *.safetensors file",
            setting="mode",
        )


class GraphEngine(ABC):
    """What engines that run graphs have in common: a graph takes numbers, or pixels as they are.

    Attributes:
        header: What the model says of itself.
        name: What runs it, in words.
        streams: How many calls run at the same time.
        uint8_io: Whether the graph goes from uint8 (n, h, w, bands) to `fake` uint8 (n, h, w, bands) and,
            where there are some, logits; else from float32 (n, bands, h, w) in [-1, 1] to all outputs so.
        has_phases: Whether the outputs are logits of colours as `phases.join_phases` takes them.
    """

    header: ModelHeader
    name: str
    streams: int
    uint8_io: bool
    has_phases: bool = False

    def __call__(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a batch (see `sat2map.inference.backends.Engine`)."""
        if self.uint8_io:
            return run_on_pixels(self._run, source, self.header)
        (outputs,) = self._run(source)
        if outputs.shape[2:] != source.shape[2:]:
            raise ValueError(f"{source.shape[2:]} is no multiple of the network's divisor")
        return outputs.astype(np.float32, copy=False)

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate a batch of pictures (see `sat2map.inference.backends.Uint8Backend`)."""
        if self.uint8_io:
            return self._run(pixels)[0].astype(np.uint8, copy=False)
        assert not self.header.generator.colours, "logits of colours are drawn by inference.drawing"
        return from_unit(self(to_unit(pixels))[:, : self.header.generator.target_bands])

    def likeliest(self, source: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the numbers of the largest outputs (see `sat2map.inference.backends.ColourBackend`)."""
        return np.stack([likeliest(outputs) for outputs in self(source)])

    def likeliest_inside(
        self, source: NDArray[np.float32], inside: Area
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Run one image (see `sat2map.inference.backends.ColourBackend`)."""
        return self(source)[0], None

    @abstractmethod
    def _run(self, source: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        """Give the graph its input and return its outputs, in arrays of their own."""


def run_on_pixels(run: Run, source: NDArray[np.float32], header: ModelHeader) -> NDArray[np.float32]:
    """Run a graph of pixels as an engine does.

    Args:
        run: From uint8 (n, h, w, bands) to `fake` uint8 (n, h, w, bands) and, where there are some, logits.
        source: float32 (n, bands, h, w) in [-1, 1].
        header: Of the model.

    Returns:
        float32 (n, target_bands + classes, h, w), the image rounded to whole grey levels; or the logits of
        colours, float32 (n, colours, h, w).
    """
    fake, *logits = run(from_unit(source))
    if header.generator.colours:
        return logits[0].astype(np.float32, copy=False)
    unit = to_unit(fake.astype(np.uint8, copy=False))
    return np.concatenate([unit, *logits], axis=1) if logits else unit
