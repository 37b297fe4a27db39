"""Map styles: which vectors are drawn, in which order, colours and widths."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sat2map.errors import SettingsError
from sat2map.images.palette import MapClass, Palette
from sat2map.settings import explain

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RGB = tuple[int, int, int]


def _check_colour(text: str) -> str:
    parse_colour(text)
    return text


def parse_colour(text: str) -> RGB:
    """Return red, green, blue of "#rrggbb"."""
    digits = text.removeprefix("#")
    if len(digits) != 6 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError(f"'{text}' is no colour such as #b1d0fe")
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


Colour = Annotated[str, AfterValidator(_check_colour)]


class StyleLayer(BaseModel):
    """Features of one class, and how they are drawn.

    Attributes:
        name: Its name, for people.
        map_class: Name of its class in the palette, `class` in the file; empty: that of another layer of its
            colour, else its name.
        geometry: `polygon`; `line`, drawn as wide as it is on the ground; or `sea`, the water on the right of
            coastlines.
        where: Values of fields, one of which a feature has; "*" is any but "no". Empty: all features.
        where_not: Values of fields, none of which a feature has.
        fill: Colour.
        width: Width of a line (m).
        casing: Width of the border (m).
        casing_fill: Its colour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str = ""
    map_class: str = Field("", alias="class")
    geometry: Literal["polygon", "line", "sea"]
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    where_not: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    fill: Colour
    width: float = Field(5.0, gt=0, le=1000)
    casing: float = Field(0.0, ge=0, le=100)
    casing_fill: Colour = "#c8c4bc"


class Style(BaseModel):
    """A map style: what lies below everything, and the layers above it from the bottom up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    background: Colour = "#e8e5df"
    background_class: str = "land"
    layer: tuple[StyleLayer, ...] = Field(min_length=1)

    @property
    def fields(self) -> set[str]:
        """Names of the fields that decide what is drawn."""
        return {field for layer in self.layer for field in (*layer.where, *layer.where_not)}

    def palette(self, name: str) -> Palette:
        """Return the classes that it draws, each in its colours; a casing has the class of its layer.

        Raises:
            SettingsError: A colour is that of two classes, or there is one class only.
        """
        owners: dict[RGB, str] = {parse_colour(self.background): self.background_class}
        for layer in self.layer:
            fill = parse_colour(layer.fill)
            label = layer.map_class or owners.get(fill) or layer.name or layer.fill
            if owners.setdefault(fill, label) != label:
                raise SettingsError(
                    f"style layer '{layer.name}' is of class '{label}', but its colour {layer.fill} is that "
                    f"of '{owners[fill]}'",
                    hint="give them one class, or two colours",
                    setting="style",
                )
            if layer.casing:
                owners.setdefault(parse_colour(layer.casing_fill), label)
        colours: dict[str, list[RGB]] = {}
        for colour, label in owners.items():
            colours.setdefault(label, []).append(colour)
        if len(colours) < 2:
            raise SettingsError(
                f"the style draws '{self.background_class}' alone: a map has two classes or more",
                setting="style",
            )
        return Palette(
            name=name,
            classes=tuple(MapClass(name=label, colours=tuple(found)) for label, found in colours.items()),
        )


STYLES: Final = ("web", "overture")


def load_style(path: str | Path | None) -> Style:
    """Read a style from a TOML file, or one that comes with the package by its name; None for `web`.

    Raises:
        SettingsError: No such file, no TOML, or no style.
    """
    if path is None or str(path) in STYLES:
        text = (resources.files("sat2map") / "geo" / "styles" / f"{path or 'web'}.toml").read_text("utf-8")
        return Style.model_validate(tomllib.loads(text))
    try:
        return Style.model_validate(tomllib.loads(Path(path).read_text("utf-8")))
    except OSError as error:
        raise SettingsError(f"style {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"style {path} is not a TOML file: {error}") from None
    except ValidationError as error:
        raise SettingsError(f"style {path}: {explain(error)}") from None
