"""Drawing: a network's outputs become pixels, here and nowhere else.

Outputs are blended across tiles and resampled to the output's grid before they are drawn, so that image,
classes and confidence of a pixel come from the same numbers, and edges are as crisp as the output's grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sat2map.errors import ModelFileError, SettingsError
from sat2map.images.palette.palette import Palette
from sat2map.images.palette.recolour import recolour
from sat2map.images.pixels import from_unit
from sat2map.inference.blending import Block
from sat2map.inference.likeliest import likeliest, likeliest_on
from sat2map.inference.resample import Resampling
from sat2map.inference.tiling import Area
from sat2map.models.header import ModelHeader

PIECE: Final = 1 << 17  # px drawn at a time: their logits and probabilities fit the processor's cache


@dataclass(frozen=True)
class Products:
    """What to draw: the image always; the rest on request."""

    classes: bool = False
    confidence: bool = False
    probabilities: bool = False


IMAGE_ONLY: Final = Products()


class Drawn(NamedTuple):
    """A drawn rectangle.

    Attributes:
        image: uint8 (bands, h, w).
        classes: Class numbers, uint8 (h, w), if they were asked for.
        confidence: Probability of the class in percent, uint8 (h, w), 0..100, if it was asked for.
        probabilities: That of each class in percent, uint8 (classes, h, w), if they were asked for.
    """

    image: NDArray[np.uint8]
    classes: NDArray[np.uint8] | None = None
    confidence: NDArray[np.uint8] | None = None
    probabilities: NDArray[np.uint8] | None = None

    def product(self, name: str) -> NDArray[np.uint8]:
        """Return `map`, `classes`, `confidence` or `probabilities`, which was asked for."""
        found = self.image if name == "map" else getattr(self, name)
        assert found is not None
        return found


class Drawer:
    """Draws the outputs of one model.

    Of logits of colours each pixel is drawn in its likeliest colour, and its class is the one that has this
    colour: a class is as likely as its likeliest colour. The temperature changes the confidence alone. An
    image is drawn as it is, unless other colours are asked for: then each pixel's class is.

    Attributes:
        palette: Classes in the colours in which they are drawn; None for a model without classes.
        bands: Bands of the image.
        recolours: Whether the image is drawn in other colours than the model's.
    """

    def __init__(self, header: ModelHeader, colors: Palette | None = None) -> None:
        """Prepare drawing.

        Args:
            header: What the model's outputs are.
            colors: Other colours for the model's classes, by name; None: those of the model.

        Raises:
            SettingsError: The model has no classes, or `colors` lacks one of them.
        """
        self._spec = header.generator
        self._temperature = np.float32(header.temperature)
        self._own = header.palette
        self.recolours = colors is not None
        if colors is not None and header.palette is None:
            raise SettingsError(
                "this model draws images without map classes", hint="leave the colours out", setting="colors"
            )
        self.palette = header.palette if colors is None else recolour(header.palette, colors)
        if self._spec.colours:
            self._owner, self._table = self._colour_table()
        self.bands = 3 if self._spec.colours or self.recolours else self._spec.target_bands

    @property
    def is_palette_network(self) -> bool:
        """Whether the network gives logits of colours, and so can be drawn at any resolution."""
        return self._spec.colours > 0

    @property
    def is_exact(self) -> bool:
        """Whether each pixel of an image has a colour of the palette."""
        return self.is_palette_network or self.recolours

    def check(self, products: Products) -> None:
        """Refuse products that the model has no outputs for.

        Raises:
            ModelFileError: Classes are asked for of a model without a palette.
        """
        if products.classes and self.palette is None and not self._spec.classes:
            raise ModelFileError(
                "this model has no map classes", hint="train one on a data set with a palette"
            )
        if products.probabilities and not (self._spec.colours or self._spec.classes):
            raise ModelFileError(
                "this model draws images, and gives no probabilities of classes",
                hint="train a palette network, as the preset default does",
            )

    def draw(
        self,
        outputs: NDArray[np.float32],
        products: Products = IMAGE_ONLY,
        colours: NDArray[np.uint8] | None = None,
    ) -> Drawn:
        """Draw outputs.

        Args:
            outputs: float32 (outputs, h, w): logits of colours; or an image in [-1, 1], class logits and, if
                confidence is asked for, the confidence in 0..1.
            products: What to draw.
            colours: Numbers of the largest logits of colours, uint8 (h, w), where they are known.
        """
        if self._spec.colours:
            drawn = self._draw_colours(outputs, products, colours)
        else:
            drawn = self._draw_image(outputs, products)
        if not products.probabilities:
            return drawn
        percent = np.rint(self.probabilities(outputs) * 100).astype(np.uint8)
        return drawn._replace(probabilities=percent)

    def probabilities(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities of the classes, float32 (classes, h, w), of outputs as in `draw`.

        The largest at each pixel is that of the class which is drawn, and its confidence.

        Raises:
            ModelFileError: The network has no logits of classes.
            SettingsError: It was opened without them.
        """
        if self._spec.colours:
            logits = self._best_of_classes(outputs)
        elif self._spec.classes:
            logits = self._class_logits(outputs)
        else:
            raise ModelFileError(
                "this model has no class head", hint="train one on a data set with a palette"
            )
        odds = np.exp((logits - logits.max(axis=0)) / self._temperature)
        result: NDArray[np.float32] = odds / odds.sum(axis=0)
        return result

    def _colour_table(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return each output's class, uint8 (colours,), and its colour, uint8 (colours, 3)."""
        if self._own is None or self.palette is None:
            raise ModelFileError("the model gives logits of colours, but its file lacks their palette")
        sizes = [len(map_class.colours) for map_class in self._own.classes]
        if sum(sizes) != self._spec.colours:
            raise ModelFileError(
                f"the model has {self._spec.colours} outputs, but its palette has {sum(sizes)} colours"
            )
        shades = [
            drawn.colours if len(drawn.colours) == size else drawn.colours[:1] * size
            for drawn, size in zip(self.palette.classes, sizes, strict=True)
        ]
        owner = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
        return owner, np.array([colour for colours in shades for colour in colours], np.uint8)

    def _best_of_classes(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the largest logit of each class's colours, float32 (classes, h, w)."""
        starts = np.searchsorted(self._owner, np.arange(self._owner[-1] + 1))
        best: NDArray[np.float32] = np.maximum.reduceat(logits, starts, axis=0)
        return best

    def _draw_colours(
        self, logits: NDArray[np.float32], products: Products, colours: NDArray[np.uint8] | None = None
    ) -> Drawn:
        drawn = self.paint(likeliest(logits) if colours is None else colours, products)
        if not products.confidence:
            return drawn
        best = self._best_of_classes(logits)
        odds = np.exp((best - best.max(axis=0)) / self._temperature)
        return drawn._replace(confidence=np.rint(100 / odds.sum(axis=0)).astype(np.uint8))

    def paint(self, colours: NDArray[np.uint8], products: Products = IMAGE_ONLY) -> Drawn:
        """Draw the image, and if it is asked for the classes, of numbers of colours, uint8 (h, w)."""
        numbers = colours.tobytes()
        layers = [_look_up(numbers, band, colours.shape) for band in self._table.T]
        classes = _look_up(numbers, self._owner, colours.shape) if products.classes else None
        return Drawn(np.stack(layers), classes)

    def _draw_image(self, outputs: NDArray[np.float32], products: Products) -> Drawn:
        bands, classes = self._spec.target_bands, None
        image: NDArray[np.uint8] = from_unit(outputs[:bands, None])[..., 0]  # bands apart: no transposing
        if products.classes or self.recolours:
            classes = self._classes_of(outputs, image)
        if self.recolours and classes is not None:
            assert self.palette is not None
            image = np.moveaxis(self.palette.colourise(classes), -1, 0)
        confidence = np.rint(outputs[-1] * 100).astype(np.uint8) if products.confidence else None
        return Drawn(image, classes if products.classes else None, confidence)

    def _classes_of(self, outputs: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return class numbers: of the class head where there is one, else of the nearest colour."""
        if self._spec.classes:
            numbers: NDArray[np.uint8] = self._class_logits(outputs).argmax(axis=0).astype(np.uint8)
            return numbers
        assert self._own is not None
        return self._own.classify(np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, -1))

    def _class_logits(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = outputs[self._spec.target_bands :][: self._spec.classes]
        if not len(logits):
            raise SettingsError("the model was opened for images only", hint="leave image_only out")
        return logits


def draw_block(block: Block, drawer: Drawer, resampling: Resampling, area: Area, products: Products) -> Drawn:
    """Draw what a block of outputs has made possible on the output's grid.

    Args:
        block: From `blended_blocks`, with the margin that `resampling` asks for.
        drawer: How.
        resampling: The way from the block's grid to the output's.
        area: The outputs, from `resampling.finished_by`.
        products: What to draw.
    """
    if drawer.is_palette_network:
        colours = likeliest_on(block, resampling, area)
        if not (products.confidence or products.probabilities):
            return drawer.paint(colours, products)
    step = max(1, PIECE // area.width)
    pieces = []
    for top in range(area.top, area.bottom, step):
        rows = Area(top, area.left, min(top + step, area.bottom), area.right)
        known = colours[top - area.top :][: rows.height] if drawer.is_palette_network else None
        pieces.append(drawer.draw(resampling.apply(block, rows), products, known))
    layers = [None if one[0] is None else np.concatenate(one, axis=-2) for one in zip(*pieces, strict=True)]
    assert layers[0] is not None
    return Drawn(layers[0], *layers[1:])


def _look_up(numbers: bytes, table: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return table[numbers] of bytes, in a third of the time that NumPy takes."""
    whole = np.zeros(256, np.uint8)
    whole[: len(table)] = table
    return np.frombuffer(bytearray(numbers.translate(whole.tobytes())), np.uint8).reshape(shape)
