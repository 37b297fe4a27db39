"""Palettes: the classes of a map style, their JSON files, and the class of a colour."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sat2map.errors import SettingsError, nearest
from sat2map.files import atomic_write_text

if TYPE_CHECKING:  # a header has a palette, and is read in a moment; NumPy is imported where it is used
    import numpy as np
    import numpy.typing as npt

_Level = Annotated[int, Field(ge=0, le=255, strict=True)]
Colour = tuple[_Level, _Level, _Level]

_BUILT_IN = resources.files(__package__) / "palettes"


class MapClass(BaseModel):
    """One class of a map, such as water, and the colours it is drawn in; the first one stands for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str = Field(min_length=1)
    colours: tuple[Colour, ...] = Field(min_length=1)


class Palette(BaseModel):
    """The classes of a map style: class number i of a class map is `classes[i]`."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str = Field(min_length=1)
    classes: tuple[MapClass, ...] = Field(min_length=2, max_length=256)

    @model_validator(mode="after")
    def _names_and_colours_are_unique(self) -> Palette:
        owners: dict[Colour, str] = {}
        for map_class in self.classes:
            if self.names.count(map_class.name) > 1:
                raise ValueError(f"two classes are called {map_class.name!r}")
            for colour in map_class.colours:
                if colour in owners:
                    raise ValueError(f"colour {colour} is in {owners[colour]!r} and in {map_class.name!r}")
                owners[colour] = map_class.name
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, in the order of the class numbers."""
        return tuple(map_class.name for map_class in self.classes)

    @property
    def colours(self) -> npt.NDArray[np.uint8]:
        """All colours, uint8 (colours, 3), in the order of the classes and of the colours in each."""
        import numpy as np

        return np.array([colour for one in self.classes for colour in one.colours], np.uint8)

    @property
    def class_of_colour(self) -> npt.NDArray[np.uint8]:
        """The class number of each of `colours`, uint8 (colours,)."""
        import numpy as np

        counts = [len(one.colours) for one in self.classes]
        return np.repeat(np.arange(len(counts), dtype=np.uint8), counts)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Palette:
        """Load a palette that comes with sat2map by its name ("maps"), or one from a JSON file by its path.

        Raises:
            SettingsError: No such palette or file, or the file holds no valid palette.
        """
        path = Path(name_or_path)
        built_in = _built_in_names()
        if str(name_or_path) in built_in:
            return cls.from_json((_BUILT_IN / f"{name_or_path}.json").read_text(encoding="utf-8"))
        if path.suffix == "" and not path.exists():
            hint = nearest(str(name_or_path), built_in)
            raise SettingsError(f"'{name_or_path}' is neither a built-in palette nor a file, {hint}")
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise SettingsError(
                f"palette file {path} does not exist; built in: {', '.join(built_in)}"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"palette file {path} cannot be read: {error}") from None
        return cls.from_json(text, origin=f"palette file {path}")

    def alternatives(self) -> dict[str, Palette]:
        """Return the other palettes that come with sat2map and have all classes of this one, by name."""
        others = {name: Palette.load(name) for name in _built_in_names() if name != self.name}
        return {name: other for name, other in others.items() if set(self.names) <= set(other.names)}

    @classmethod
    def from_json(cls, text: str, *, origin: str = "the palette") -> Palette:
        """Read a palette from the text that `to_json` writes.

        Args:
            text: JSON, {"name": ..., "classes": [{"name": ..., "colours": [[r, g, b], ...]}, ...]}.
            origin: where the text is from, for the sentence of an error.

        Raises:
            SettingsError: The text is not JSON, or not a valid palette.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"])[1:]
            problem = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{origin} is not valid: {where and where + ': '}{problem}") from None

    def to_json(self) -> str:
        """Write the palette as JSON, one class a line, for people to edit."""
        lines = ",\n".join(f"    {json.dumps(map_class.model_dump())}" for map_class in self.classes)
        return f'{{\n  "name": {json.dumps(self.name)},\n  "classes": [\n{lines}\n  ]\n}}\n'

    def save(self, path: str | Path) -> None:
        """Write the palette to a JSON file, whole or not at all."""
        atomic_write_text(Path(path), self.to_json())

    def index(self, name: str) -> int:
        """Return the class number of a class name.

        Raises:
            SettingsError: The palette has no such class.
        """
        if name not in self.names:
            raise SettingsError(f"palette '{self.name}' has no class '{name}', {nearest(name, self.names)}")
        return self.names.index(name)

    def classify(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Give each pixel the class of the nearest colour in CIELAB (Delta E 1976; a tie goes to the first).

        From uint8 (..., 3) to class numbers, uint8 (...).
        """
        import numpy as np

        from sat2map.images.palette.lab import pack_rgb, unpack_rgb

        # A map has far fewer colours than pixels: each colour is converted and compared once.
        packed, where = np.unique(pack_rgb(rgb), return_inverse=True)
        return self._nearest(unpack_rgb(packed))[where].reshape(rgb.shape[:-1])

    def lookup(self, bits: int = 6) -> npt.NDArray[np.uint8]:
        """Tabulate the classes of all colours cut to `bits` bits a channel, for use on a device.

        With 6 bits, the class of (r, g, b) is entry `r >> 2 << 12 | g >> 2 << 6 | b >> 2`. A cell has the
        class of the colour at its centre, which for colours near the border of two classes may not be theirs.

        Args:
            bits: bits kept of each channel, 1..8.

        Returns:
            Class numbers, uint8 (2 ** (3 * bits),).
        """
        import numpy as np

        assert 1 <= bits <= 8
        width = 1 << (8 - bits)
        levels = np.arange(0, 256, width) + width // 2
        red, green, blue = np.meshgrid(levels, levels, levels, indexing="ij")
        return self._nearest(np.stack([red, green, blue], axis=-1).astype(np.uint8).reshape(-1, 3))

    def colourise(self, classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Draw class numbers, uint8 (h, w), each in the class's first colour, uint8 (h, w, 3)."""
        import numpy as np

        colours = np.array([map_class.colours[0] for map_class in self.classes], dtype=np.uint8)
        return colours[classes]

    def _nearest(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Classes, uint8 (n,), of the colours uint8 (n, 3)."""
        from sat2map.images.palette.lab import nearest_colours

        return self.class_of_colour[nearest_colours(rgb, self.colours)[0]]


def _built_in_names() -> list[str]:
    return sorted(entry.name.removesuffix(".json") for entry in _BUILT_IN.iterdir())


def describe_classes(palette: Palette) -> list[dict[str, Any]]:
    """Return the classes of a palette as STAC's classification extension writes them."""
    return [
        {
            "value": number,
            "name": re.sub(r"[^A-Za-z0-9_-]", "_", one.name),  # all that the extension allows
            "title": one.name,
            "description": one.name,
            "color_hint": "{:02X}{:02X}{:02X}".format(*one.colours[0]),
        }
        for number, one in enumerate(palette.classes)
    ]
