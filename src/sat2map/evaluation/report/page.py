"""The HTML page of a report, from a template of `templates/`: one file, which needs nothing else."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from sat2map.files import atomic_write_text

IMAGE_SIDE = 1100  # px; pictures are scaled down to it
_QUALITY = 82


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Write a page with everything in it, whole or not at all.

    Args:
        path: The page, which is returned.
        template: The file of `templates/` that has its sections.
        **values: What the template names: `title`, `lead` (plain text, as all values are but `Markup`), and
            functions that it calls.

    Raises:
        OutputError: It cannot be written.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates"), encoding="utf-8"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals |= {"image": image, **values}
    atomic_write_text(path, environment.get_template(template).render() + "\n")
    return path


def image(pixels: NDArray[np.uint8], alt: str) -> Markup:
    """An image inside the page.

    Args:
        pixels: uint8 (h, w, bands); of two bands the first is shown, of four the first three.
        alt: What it shows, as plain text.
    """
    bands = pixels.shape[2]
    shown = Image.fromarray(np.ascontiguousarray(pixels[..., :3] if bands >= 3 else pixels[..., 0]))
    shown.thumbnail((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    shown.save(file, "WEBP", quality=_QUALITY)
    data = base64.b64encode(file.getvalue()).decode()
    element = Markup('<img src="data:image/webp;base64,{}" width="{}" height="{}" alt="{}">')
    return element.format(data, shown.width, shown.height, alt)
