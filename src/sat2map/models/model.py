"""The handle of a model: where it lies, what its header says, and its hash."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from sat2map.files import sha256_of
from sat2map.models.bundled import bundled_model
from sat2map.models.hub.fetch import fetch, is_hub_name
from sat2map.models.model_file import ModelHeader, is_exported, read_header


@dataclass(frozen=True, repr=False)
class Model:
    """A model file, or an exported model, on this disk.

    It is found once and handed on, so that no two places disagree on what a name means.

    Attributes:
        path: The file: *.safetensors, or *.onnx or *.xml of an exported model.
        header: What the file says of itself.
        name: The name that it was found by: a path, `hf://user/repo`, or `bundled`.
    """

    path: Path
    header: ModelHeader
    name: str

    @classmethod
    def find(cls, model: ModelLike = None) -> Model:
        """Find a model; one on the Hugging Face Hub is downloaded into the hub's cache.

        Args:
            model: A path, `hf://user/repo[@revision][/file]`, None or `bundled` for the model that comes with
                the package, or a model that was found before.

        Raises:
            ModelFileError: There is no such model, or its file is damaged, of another program, or of a newer
                version.
            MissingExtraError: The model is on the hub, and huggingface_hub is not installed.
        """
        if isinstance(model, Model):
            return model
        if model is None or (model == "bundled" and not Path(model).exists()):
            path, name = bundled_model(), "bundled"
        elif is_hub_name(model):
            path, name = fetch(model)
        else:
            path, name = Path(model), str(Path(model))
        return cls(path, read_header(path), name)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file, as hexadecimal digits; read once."""
        return sha256_of(self.path)

    @property
    def is_exported(self) -> bool:
        """Whether it is a graph for one runtime, which cannot be trained further or exported again."""
        return is_exported(self.path)

    def __repr__(self) -> str:
        header, spec = self.header, self.header.generator
        facts = [spec.architecture, f"{spec.source_bands} bands"]
        facts.append(f"{header.gsd:g} m per pixel" if header.gsd else "gsd unknown")
        if header.palette is not None:
            facts.append(f"palette {header.palette.name}")
        return f"<Model {self.name}: {', '.join(facts)}>"


ModelLike: TypeAlias = Model | str | Path | None
