"""`Translator`: an image in, a map out, of any size and at any scale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sat2map.images.palette.palette import Palette
from sat2map.images.pixels import from_unit, resize, to_unit
from sat2map.inference.backends import ColourBackend, Engine, EngineOptions, Uint8Backend, open_engine
from sat2map.inference.backends.options import DEFAULTS
from sat2map.inference.blending import Block, Run, RunInside, blended_blocks
from sat2map.inference.confidence import with_confidence
from sat2map.inference.drawing import IMAGE_ONLY, Drawer, Drawn, Products, draw_block
from sat2map.inference.resample import Resampling
from sat2map.inference.scale import size_at_model_scale
from sat2map.inference.source import Source, check_pixels, source_pixels
from sat2map.inference.tiling import Area, Grid, Span, pad_to
from sat2map.inference.tta import average
from sat2map.models.header import ModelHeader
from sat2map.models.model import ModelLike

# Tiles of 640 px that share 32 px compute 1.11 pixels for each. On mosaics of 1,900 px, 98 % of the classes
# are those of the mosaic in one piece (99 % with 960 px), and they agree with the true map as well as those,
# at seams too; the engine needs 250 MB less than with 960 px.
PALETTE_TILE: Final = 640  # px
IMAGE_TILE: Final = 512  # px

Progress = Callable[[int, int], None]


def _no_progress(done: int, total: int) -> None: ...


class Translator:
    """Translates images of any size with one model.

    Example:
        >>> translator = Translator.open()                            # doctest: +SKIP
        >>> generated = translator("photo.jpg", gsd=0.3)              # doctest: +SKIP

    Attributes:
        header: What the model says about itself.
        engine: What runs it.
        drawer: What turns its outputs into pixels.
        grid: How images larger than `header.max_untiled_size` are cut into tiles.
        network: The engine, or with `tta` its mean over the eight symmetries.
        tta: Whether it is that mean.
    """

    def __init__(
        self, engine: Engine, *, tta: bool = False, colors: str | Path | Palette | None = None
    ) -> None:
        """Use a model that is open.

        Args:
            engine: The model.
            tta: Average over the eight right-angle symmetries: a little better, and eight times slower.
            colors: Colours of the map: name or file of a palette, or a palette; None: the model's own.

        Raises:
            SettingsError: There is no such palette, or it does not fit the model.
        """
        self.header: ModelHeader = engine.header
        self.engine = engine
        self.tta = tta
        self.drawer = Drawer(self.header, Palette.load(colors) if isinstance(colors, str | Path) else colors)
        self.network: Run = average(engine) if tta else engine
        tile = PALETTE_TILE if self.drawer.is_palette_network else IMAGE_TILE
        self.grid = Grid.for_network(
            min(self.header.max_untiled_size, tile), self.header.generator.size_divisor
        )

    @classmethod
    def open(
        cls,
        model: ModelLike = None,
        options: EngineOptions = DEFAULTS,
        *,
        tta: bool = False,
        colors: str | Path | Palette | None = None,
        **overrides: Any,
    ) -> Translator:
        """Open a model.

        Args:
            model: What `Model.find` takes; None for the model that comes with the package.
            options: How it runs.
            tta: Average over the eight right-angle symmetries: a little better, and eight times slower.
            colors: Colours of the map: name or file of a palette, or a palette; None: the model's own.
            **overrides: Fields of `EngineOptions` that differ from these, such as `threads=2`.

        Raises:
            ModelFileError: The file is missing, truncated or of another program.
            SettingsError: The device is not on this machine or not for this engine, or the colours do not
                fit the model.
            MissingExtraError: The engine is not installed.
        """
        if colors is not None:  # another palette needs the classes of an image
            overrides["image_only"] = False
        return cls(open_engine(model, options, **overrides), tta=tta, colors=colors)

    def __repr__(self) -> str:
        """Describe the model and what runs it."""
        spec, gsd = self.header.generator, self.header.gsd
        scale = f", {gsd:g} m per pixel" if gsd else ""
        return f"<Translator: {spec.architecture}{scale}; {self.engine.name}>"

    def __call__(
        self, source: Source, progress: Progress = _no_progress, *, gsd: float | None = None
    ) -> NDArray[np.uint8]:
        """Translate one image.

        The image is brought to the model's scale. Up to `header.max_untiled_size` px a side there it is
        padded by reflection and run in one piece; larger ones are run in overlapping tiles that are blended.

        Args:
            source: A path, a PIL image, or an array (h, w, source_bands), uint8; of a model that has limits
                of its bands (`header.limits`), of any type.
            progress: Called with tiles done and tiles in all.
            gsd: Metres per pixel of the image; None: that of the model's training images.

        Returns:
            uint8 (h, w, bands).

        Raises:
            ImageError: The image cannot be read, has another type or number of bands, or is too small.
            SettingsError: `gsd` is not positive, or the model does not know its own.
        """
        pixels = source_pixels(source, self.header)
        size = size_at_model_scale(self.header, pixels.shape[:2], gsd)
        if self._draws_bytes and not self.tta and max(size) <= self.header.max_untiled_size:
            (generated,) = self.batch([pixels], gsd=gsd)
            progress(1, 1)
            return generated
        return np.moveaxis(self.draw(pixels, IMAGE_ONLY, progress, gsd=gsd).image, 0, -1)

    def batch(
        self, sources: Sequence[NDArray[np.uint8]], *, gsd: float | None = None
    ) -> list[NDArray[np.uint8]]:
        """Translate images of one size together, which uses the processor better than one after the other.

        Args:
            sources: uint8 (h, w, source_bands) each, one size, at most `header.max_untiled_size` px a side
                at the model's scale.
            gsd: Metres per pixel, as in `__call__`.

        Returns:
            uint8 (h, w, bands) each. In `eval` mode they are what each would be by itself; in `paper` mode
            they depend on each other.

        Raises:
            ImageError: As in `__call__`.
        """
        for source in sources:
            check_pixels(source, self.header)
        assert all(source.shape == sources[0].shape for source in sources)
        outer = sources[0].shape[:2]
        height, width = size_at_model_scale(self.header, outer, gsd)
        assert max(height, width) <= self.header.max_untiled_size
        padded = np.stack([self._padded(resize(source, height, width)) for source in sources])
        if self._draws_bytes:
            if isinstance(self.network, Uint8Backend):
                generated = self.network.predict(padded)
            else:
                generated = from_unit(self.network(to_unit(padded))[:, : self.header.generator.target_bands])
            return [resize(image, *outer) for image in generated[:, :height, :width]]
        if (height, width) == outer and (painted := self._paint(padded, outer, IMAGE_ONLY)):
            return [np.moveaxis(drawn.image, 0, -1) for drawn in painted]
        resampling, wanted = Resampling.between((height, width), outer), Area(0, 0, *outer)
        images = []
        for outputs in self.network(to_unit(padded)):
            block = Block(Area(0, 0, height, width), (0, 0), outputs[:, :height, :width])
            images.append(np.moveaxis(self._assemble([block], resampling, wanted, IMAGE_ONLY).image, 0, -1))
        return images

    def draw(
        self,
        source: NDArray[np.uint8],
        products: Products = IMAGE_ONLY,
        progress: Progress = _no_progress,
        *,
        gsd: float | None = None,
    ) -> Drawn:
        """Translate one image, and give its classes and confidence too.

        Args:
            source: uint8 (h, w, source_bands).
            products: What to draw.
            progress: Called with tiles done and tiles in all.
            gsd: Metres per pixel, as in `__call__`.

        Raises:
            ImageError: As in `__call__`.
            ModelFileError: The model has no classes, and they are asked for.
        """
        check_pixels(source, self.header)
        self.drawer.check(products)
        outer = source.shape[:2]
        height, width = size_at_model_scale(self.header, outer, gsd)
        # What a network draws itself is resized as an image; logits are resampled, and then drawn.
        inner = (height, width) if self._draws_bytes and products == IMAGE_ONLY else outer
        resampling, wanted = Resampling.between((height, width), inner), Area(0, 0, *inner)
        scaled = resize(source, height, width)
        if (height, width) == outer and max(outer) <= self.header.max_untiled_size:
            painted = self._paint(self._padded(scaled)[None], outer, products)
            if painted:
                progress(1, 1)
                return painted[0]
        blocks = self._blocks(scaled, self.network_for(products), progress, margin=resampling.margin)
        drawn = self._assemble(blocks, resampling, wanted, products)
        if inner == outer:
            return drawn
        return Drawn(np.moveaxis(resize(np.moveaxis(drawn.image, 0, -1), *outer), -1, 0))

    def classes(self, source: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities of the map classes, float32 (classes, h, w), for an image as in `run`.

        Raises:
            ImageError: As in `__call__`.
            ModelFileError: The model has no class logits.
        """
        return self.drawer.probabilities(self.run(source))

    def run(self, source: NDArray[np.uint8], progress: Progress = _no_progress) -> NDArray[np.float32]:
        """Return all outputs of the network for an image at the model's scale, float32 (outputs, h, w)."""
        check_pixels(source, self.header)
        total: NDArray[np.float32] | None = None
        for block in self._blocks(source, self.network, progress):
            area, values = block.area, block.values
            assert values is not None
            if total is None:
                total = np.empty((len(values), *source.shape[:2]), np.float32)
            total[:, area.top : area.bottom, area.left : area.right] = values
        assert total is not None
        return total

    def network_for(self, products: Products) -> Run:
        """Return the network with the outputs that some products need and no others."""
        spec = self.header.generator
        if spec.colours:
            return self.network
        needs_classes = products.classes or products.probabilities or self.drawer.recolours
        count = spec.target_bands + (spec.classes if needs_classes else 0)
        if not products.confidence:
            return lambda batch: self.network(batch)[:, :count]
        run = with_confidence(self.engine, self.header, tta=self.tta)

        def with_last(batch: NDArray[np.float32]) -> NDArray[np.float32]:
            out = run(batch)
            return np.concatenate([out[:, :count], out[:, -1:]], axis=1)

        return with_last

    def run_inside_for(self, products: Products, resampling: Resampling) -> RunInside | None:
        """Return what runs the network where likeliest colours are all that is wanted; None elsewhere."""
        if products.confidence or products.probabilities or not self.drawer.is_palette_network:
            return None
        if resampling.margin or not isinstance(self.network, ColourBackend):
            return None
        return self.network.likeliest_inside

    def _paint(
        self, padded: NDArray[np.uint8], size: tuple[int, int], products: Products
    ) -> list[Drawn] | None:
        """Draw a batch of whole images at the model's scale, if the network itself can compare its logits."""
        if products.confidence or products.probabilities or not self.drawer.is_palette_network:
            return None
        if not isinstance(self.network, ColourBackend):
            return None
        painted = []
        for numbers in self.network.likeliest(to_unit(padded))[:, : size[0], : size[1]]:
            drawn = self.drawer.paint(numbers, products)
            image = np.stack(tuple(drawn.image), axis=-1)  # as image files have it: no copy afterwards
            painted.append(drawn._replace(image=np.moveaxis(image, -1, 0)))
        return painted

    @property
    def _draws_bytes(self) -> bool:
        """Whether the network's output is the image itself."""
        return not self.drawer.is_palette_network and not self.drawer.recolours

    def _blocks(
        self, source: NDArray[np.uint8], run: Run, progress: Progress, *, margin: int = 0
    ) -> Iterable[Block]:
        """Run the network over an image at the model's scale, in one piece or in tiles."""
        height, width = source.shape[:2]
        if max(height, width) <= self.header.max_untiled_size:
            outputs = run(to_unit(self._padded(source)[None]))[0, :, :height, :width]
            progress(1, 1)
            yield Block(Area(0, 0, height, width), (0, 0), outputs)
            return
        total = len(self.grid.spans(height)) * len(self.grid.spans(width))

        def cut(rows: Span, columns: Span) -> NDArray[np.float32]:
            tile = to_unit(source[rows.start : rows.stop, columns.start : columns.stop])
            return pad_to(tile, rows.stop - rows.start, columns.stop - columns.start)

        blocks = blended_blocks(self.grid, (height, width), cut, run, margin=margin)
        for done, block in enumerate(blocks, 1):
            progress(done, total)
            yield block

    def _assemble(
        self, blocks: Iterable[Block], resampling: Resampling, wanted: Area, products: Products
    ) -> Drawn:
        """Draw blocks into whole images."""
        size = (wanted.height, wanted.width)
        image = np.empty((*size, self.drawer.bands), np.uint8)  # as image files have it: no copy afterwards
        classes = np.empty(size, np.uint8) if products.classes else None
        confidence = np.empty(size, np.uint8) if products.confidence else None
        for block in blocks:
            area = resampling.finished_by(block.area, wanted)
            if not area.height or not area.width:
                continue
            drawn = draw_block(block, self.drawer, resampling, area, products)
            here = (slice(area.top, area.bottom), slice(area.left, area.right))
            for band, values in enumerate(drawn.image):
                image[(*here, band)] = values
            if classes is not None and drawn.classes is not None:
                classes[here] = drawn.classes
            if confidence is not None and drawn.confidence is not None:
                confidence[here] = drawn.confidence
        return Drawn(np.moveaxis(image, -1, 0), classes, confidence)

    def _padded(self, source: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Fill an image up by reflection to sides that the network takes."""
        divisor = self.header.generator.size_divisor
        down, across = (-side % divisor for side in source.shape[:2])
        return np.pad(source, ((0, down), (0, across), (0, 0)), mode="reflect")
