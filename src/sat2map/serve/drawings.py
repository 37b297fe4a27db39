"""Drawings of uploaded images: map, classes and confidence from one run of the network, cached in memory."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from sat2map.errors import nearest
from sat2map.images.palette import Palette
from sat2map.images.palette.recolour import recolour
from sat2map.images.pixels import with_bands
from sat2map.inference import Translator
from sat2map.inference.drawing import IMAGE_ONLY, Drawn, Products
from sat2map.serve.batch_queue import BatchQueue, Progress, Work, one_by_one
from sat2map.serve.decoder import Decoder
from sat2map.serve.http_errors import BadRequestError, NotFoundError, TooManyPixelsError
from sat2map.serve.image_store import ImageStore, StoredImage
from sat2map.serve.input_files import RESULTS, Inspected, translate_file
from sat2map.serve.memory import MemoryBudget, price
from sat2map.serve.pictures import ALL, Part, read_picture
from sat2map.serve.responses import raster_pixels
from sat2map.serve.serve_settings import MIB, Limits
from sat2map.serve.served_models import ServedModel

Product = Literal["image", "classes", "confidence"]
_alternatives = functools.lru_cache(maxsize=16)(Palette.alternatives)


@dataclass(frozen=True)
class Drawing:
    """A drawn image.

    Attributes:
        drawn: Image, classes and confidence, as far as the model has them.
        alpha: uint8 (h, w), 0 where the source has no data, or None.
        palette: Classes in the colours of the image, or None.
        notes: What the client should know.
        files: Of a raster: the GeoTIFF of each product.
    """

    drawn: Drawn
    alpha: NDArray[np.uint8] | None
    palette: Palette | None
    notes: tuple[str, ...] = ()
    files: Mapping[Product, bytes] = field(default_factory=dict)

    @property
    def products(self) -> list[Product]:
        """What there is."""
        found: list[Product] = ["image"]
        found += ["classes"] if self.drawn.classes is not None else []
        found += ["confidence"] if self.drawn.confidence is not None else []
        return found

    def shares(self) -> list[float]:
        """Return the share of the area of each class of the palette, 0..1."""
        if self.palette is None or self.drawn.classes is None:
            return []
        classes = self.drawn.classes if self.alpha is None else self.drawn.classes[self.alpha > 0]
        counts = np.bincount(classes.ravel(), minlength=len(self.palette.classes))
        return [float(share) for share in counts / max(1, classes.size)]

    def pixels(self, product: Product) -> NDArray[np.uint8]:
        """Return a product for display, uint8 (h, w, bands): classes in flat colours, confidence as grey.

        Raises:
            NotFoundError: The model does not have it.
        """
        drawn = self.drawn
        if product == "image":
            return np.ascontiguousarray(np.moveaxis(drawn.image, 0, -1))
        if product == "classes" and drawn.classes is not None and self.palette is not None:
            return self.palette.colourise(drawn.classes)
        if product == "confidence" and drawn.confidence is not None:
            return (drawn.confidence[..., None] * np.float32(2.55)).round().astype(np.uint8)
        raise NotFoundError(f"this model has no {product}")

    def geotiff(self, product: Product) -> bytes:
        """Return a product of a raster as a GeoTIFF file.

        Raises:
            NotFoundError: The model does not have it.
        """
        if product not in self.files:
            raise NotFoundError(f"this model has no {product}")
        return self.files[product]


class _Request(NamedTuple):
    model: ServedModel
    image: StoredImage
    gsd: float | None
    colors: str | None
    part: Part


class Drawings:
    """Draws uploaded images, one at a time and behind small images, and keeps the last ones."""

    def __init__(
        self, images: ImageStore, decoder: Decoder, memory: MemoryBudget, limits: Limits, scratch: Path
    ) -> None:
        """Prepare drawing; `scratch` is a folder for files of the moment."""
        self._images = images
        self._scratch = scratch
        self._decoder = decoder
        self._memory = memory
        self._limits = limits
        self._cache: LRUCache[Hashable, Drawing] = LRUCache(limits.drawing_mib * MIB, getsizeof=_size)
        self._queue = BatchQueue(one_by_one(self._draw), length=limits.large_queue)

    async def draw(
        self,
        model: ServedModel,
        image: StoredImage,
        *,
        gsd: float | None = None,
        colors: str | None = None,
        part: Part = ALL,
    ) -> Drawing:
        """Return the drawing of an uploaded image, in some of the colours of `colors_for`.

        A raster is drawn whole, and its file tells its scale: `gsd` and `part` are for pictures.

        Raises:
            BadRequestError: There are no such colours.
            BusyError: Too many wait.
            ImageError: The image is damaged, or too small at the model's scale.
            TooManyPixelsError: It is too large, here or at the model's scale.
        """
        if colors is not None and colors not in (known := colors_for(model)):
            raise BadRequestError(f"no colours of this model are called {colors!r}, {nearest(colors, known)}")
        if image.kind == "raster":
            if image.height * image.width > self._limits.pixels:
                millions = self._limits.pixels / 1e6
                raise TooManyPixelsError(f"at most {millions:g} million pixels are drawn at once: use a job")
            gsd, part = None, ALL
        key = model.sha256, image.id, gsd, colors, part
        if (found := self._cache.get(key)) is None:
            found, _ = await self._queue.submit(_Request(model, image, gsd, colors, part))
            if _size(found) <= self._cache.maxsize:
                self._cache[key] = found
        return found

    def close(self) -> None:
        """Let the thread end."""
        self._queue.close()

    def _draw(self, work: Work[_Request, Drawing]) -> Drawing:
        model, image, gsd, colors, part = work.source
        shape = image.height, image.width
        needed = price(model.header, shape, gsd, pixels=self._limits.pixels)
        with self._memory.account(patience=self._limits.request_seconds / 2) as reserve:
            reserve(needed + 8 * image.height * image.width)
            upload = self._images.inspected(image)
            if not upload.path.exists():
                raise NotFoundError("there is no such image: it may have expired, upload it again")
            palette = _service_colors(model) if colors is None else colors_for(model)[colors]
            if image.kind == "raster":
                self._scratch.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
                    return _draw_raster(model, palette, upload, Path(folder), work.progress, self._decoder)
            picture = read_picture(self._decoder, upload.path, shape, model.header, part, gsd=gsd)
            source = with_bands(picture.pixels, model.header.generator.source_bands, Path("the image"))
            drawing = _draw_products(model, palette, source, picture.alpha, work.progress, gsd)
            return replace(drawing, notes=picture.notes)


def _draw_products(
    model: ServedModel,
    colors: Palette | None,
    source: NDArray[np.uint8],
    alpha: NDArray[np.uint8] | None,
    progress: Progress,
    gsd: float | None,
) -> Drawing:
    """Draw the map, and its classes and confidence if the model has them, in one run of the network."""
    own, engine = model.header.palette, model.background_translator.engine
    if model.header.generator.colours:
        translator = Translator(engine, colors=colors)
        drawn = translator.draw(source, Products(classes=True, confidence=True), progress, gsd=gsd)
        return Drawing(drawn, alpha, translator.drawer.palette)
    # Such a network draws the image itself: its classes are those of the colours that it drew.
    image = Translator(engine).draw(source, IMAGE_ONLY, progress, gsd=gsd).image
    if own is None:
        return Drawing(Drawn(image), alpha, None)
    classes = own.classify(np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, -1))
    if colors is not None:
        own = recolour(own, colors)
        image = np.moveaxis(own.colourise(classes), -1, 0)
    return Drawing(Drawn(image, classes), alpha, own)


def _draw_raster(
    model: ServedModel,
    colors: Palette | None,
    upload: Inspected,
    folder: Path,
    progress: Progress,
    decoder: Decoder,
) -> Drawing:
    """Translate a raster into GeoTIFFs, and read what is shown of it from them."""
    translator = Translator(model.background_translator.engine, colors=colors)
    spec, output = model.header.generator, folder / RESULTS["raster"]
    # An engine of images leaves the class head out (see `Models`).
    classes = translator.drawer.palette is not None and (spec.colours or not spec.classes)
    sides: list[Literal["classes", "confidence"]] = ["classes"] if classes else []
    sides += ["confidence"] if spec.colours else []
    about = model.name, model.sha256
    notes = translate_file(translator, upload, output, about, progress, decoder, sides=sides)
    paths: dict[Product, Path] = {"image": output, **{name: folder / f"{name}.tif" for name in sides}}
    pixels, alpha = raster_pixels(output)
    layers = {name: raster_pixels(paths[name])[0][..., 0] for name in sides}
    if alpha is not None:
        for values in layers.values():
            values[alpha == 0] = 0  # instead of nodata, which is no class
    files = {product: path.read_bytes() for product, path in paths.items()}
    return Drawing(
        Drawn(np.moveaxis(pixels, -1, 0), **layers), alpha, translator.drawer.palette, notes, files
    )


def colors_for(model: ServedModel) -> dict[str, Palette]:
    """Return the colours that have all classes of a model, by name; without those that it is served in."""
    own, served = model.header.palette, _service_colors(model)
    if own is None or served is None:
        return _alternatives(own) if own else {}
    found = {own.name: own, **_alternatives(own)}
    return {name: palette for name, palette in found.items() if name != served.name}


def _service_colors(model: ServedModel) -> Palette | None:
    """Return the colours that the service was started with; None: the model's own."""
    drawer = model.background_translator.drawer
    return drawer.palette if drawer.recolours else None


def _size(drawing: Drawing) -> int:
    arrays = (*drawing.drawn, drawing.alpha)
    files = sum(map(len, drawing.files.values()))
    return files + sum(array.nbytes for array in arrays if array is not None)
