"""The result of an evaluation, and its JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from sat2map.errors import DataError
from sat2map.files import atomic_write_text
from sat2map.images.palette import Palette
from sat2map.settings import Direction, InferenceMode, explain

MODEL: Final = "model"
CLASS_HEAD: Final = "class head"
CONSTANT: Final = "constant map"
NEAREST: Final = "nearest training tile"
JPEG: Final = "truth as JPEG"
AS_IT_IS: Final = "as it is"


class Record(BaseModel):
    """Base of what an evaluation's JSON file holds: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return self.model_dump_json(indent=2) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the JSON file, whole or not at all.

        Raises:
            OutputError: It cannot be written.
        """
        atomic_write_text(Path(path), self.to_json())


class OtherModel(Record):
    """A model that was scored beside the model, on the same pairs in the same way.

    Attributes:
        name: Name of its row.
        file: Name of its file; empty for a model in memory.
        sha256: Hash of the file; empty for a model in memory.
        steps: Updates of the generator.
        engine: What ran it.
        inference_mode: `eval` or `paper`, as its file says.
        learned: How many of the scored pairs its own training, by its settings, had to learn from.
    """

    name: str
    file: str
    sha256: str
    steps: int
    engine: str
    inference_mode: InferenceMode
    learned: int = 0


class MetricWeights(Record):
    """Weights of a network behind FID, KID or LPIPS.

    Attributes:
        network: Which.
        file: Name of the file.
        sha256: Its hash.
        published: Whether that is the hash of the file that is published.
    """

    network: str
    file: str
    sha256: str
    published: bool


class Protocol(Record):
    """How the scores were taken: two evaluations compare where these agree.

    Attributes:
        sat2map: Version that evaluated.
        model: Name of the model file; empty for a model in memory.
        model_sha256: Hash of the file; empty for a model in memory.
        steps: Updates of the generator.
        engine: What ran the model.
        inference_mode: `eval` or `paper`.
        direction: Which side of the pairs was the input.
        palette: Colours and classes, or None.
        data: The data set, as it was named.
        data_fingerprint: Hash of the scored pairs and of how they were read.
        split: The split that was scored.
        group_column: CSV column of the groups, or None where each image counts as a place of its own.
        images: Pairs scored.
        groups: Places among them; intervals draw these.
        size: Side of the maps that were compared (px).
        input_size: Side of the sources that the model was given (px).
        resize: How maps and sources were brought to these sizes.
        constant_colour: Colour of the constant map; empty where there are no baselines.
        constant_from: Split of whose targets that is the median.
        level: Share of the bootstrap draws inside an interval.
        against: Other models that were scored too.
        metric_weights: Of the networks behind FID, KID and LPIPS; empty where these were not asked for.
    """

    sat2map: str
    model: str
    model_sha256: str
    steps: int
    engine: str
    inference_mode: InferenceMode
    direction: Direction
    palette: Palette | None
    data: str
    data_fingerprint: str
    split: str
    group_column: str | None
    images: int
    groups: int
    size: int
    input_size: int = 0
    resize: str = "Pillow bicubic, antialiased"
    constant_colour: tuple[int, ...] = ()
    constant_from: str = ""
    level: float = 0.95
    against: tuple[OtherModel, ...] = ()
    metric_weights: tuple[MetricWeights, ...] = ()


class Row(Record):
    """The scores of one way to make maps.

    Attributes:
        name: What made them: `MODEL`, `CLASS_HEAD`, the name of another model, `CONSTANT`, `NEAREST` or
            `JPEG`; in a robustness table how the sources were degraded.
        scores: By name; those that cannot be computed are missing.
        intervals: Low and high end by name; a score may have none.
    """

    name: str
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]] = {}


class ImageScores(Record):
    """The model's scores on one image."""

    name: str
    group: str
    scores: dict[str, float]

    @property
    def rank_key(self) -> float:
        """What images are ordered by (see `selection_metric`)."""
        return selection_metric(self.scores)


def selection_metric(scores: Mapping[str, float | None]) -> float:
    """Return what models and images are ranked by, higher is better.

    Args:
        scores: By name; None or missing where there is none.

    Returns:
        Mean class IoU, -L1 where there are no classes, or minus infinity where there is neither.
    """
    iou, l1 = scores.get("mean_iou"), scores.get("l1")
    return iou if iou is not None else float("-inf") if l1 is None else -l1


class ReliabilityBin(Record):
    """Pixels whose confidence lies in one range.

    Attributes:
        low: Lowest confidence, 0 to 1.
        high: The one behind the highest.
        pixels: How many there are.
        confidence: Their mean confidence.
        accuracy: Share of them whose likeliest class is that of the real map.
    """

    low: float
    high: float
    pixels: int
    confidence: float
    accuracy: float


class Evaluation(Record):
    """Scores of a model on pairs.

    Attributes:
        protocol: How they were taken.
        rows: The model first, then its class head, other models and the baselines.
        confusion: Pixels by class of the target (rows) and of the fake (columns); empty without a palette.
        images: The model's scores image by image, in the order of the data.
        robustness: The model's scores on degraded sources, where that was asked for.
        reliability: How often the likeliest class is right at each confidence; empty without confidence.
    """

    protocol: Protocol
    rows: tuple[Row, ...]
    confusion: tuple[tuple[int, ...], ...] = ()
    images: tuple[ImageScores, ...]
    robustness: tuple[Row, ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()

    def row(self, name: str) -> Row | None:
        """Return the row of that name, or None where it was not scored."""
        return next((row for row in self.rows if row.name == name), None)

    @property
    def model(self) -> Row:
        """The model's row."""
        return self.rows[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the confusion matrix."""
        return self.protocol.palette.names if self.protocol.palette else ()

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read what `save` wrote.

        Raises:
            DataError: The file is missing or holds something else.
        """
        try:
            return cls.model_validate_json(Path(path).read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"evaluation file {path} cannot be read: {error}") from None
        except ValidationError as error:
            raise DataError(
                f"{path} is no evaluation of this version ({explain(error)})", hint="evaluate again"
            ) from None
