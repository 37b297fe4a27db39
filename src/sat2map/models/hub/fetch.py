"""Owns getting a model from the hub, by way of the cache that all of its tools share."""

from __future__ import annotations

from pathlib import Path

from sat2map.errors import ModelFileError
from sat2map.models.bundled import bundled_model
from sat2map.models.hub.hub_errors import told_in_words
from sat2map.models.hub.names import HubName, is_hub_name
from sat2map.models.model_file import read_header


def find_model(model: str | Path | None) -> Path:
    """Return where a model lies on this disk: a path as it is, a name on the hub after a download.

    What is in the cache is not fetched again; without a network, or with `HF_HUB_OFFLINE=1`, the cache's copy
    serves. Cache, endpoint and token are those of huggingface_hub (`HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`).

    Args:
        model: A path, or `hf://user/repo[@revision][/file]`; None for the model that comes with the package.

    Raises:
        ModelFileError: The hub has no such model, is out of reach and the cache has none, or the file there
            is not a model file of ours.
        MissingExtraError: huggingface_hub is not installed.
    """
    if model is None:
        return bundled_model()
    if not is_hub_name(model):
        return Path(model)
    name = HubName.parse(model)
    with told_in_words(f"{name} cannot be fetched", ModelFileError):
        from huggingface_hub import hf_hub_download

        path = Path(
            hf_hub_download(
                name.repo, name.file, revision=name.revision, library_name="sat2map", etag_timeout=5
            )
        )
    try:
        read_header(path)
    except ModelFileError as error:
        raise ModelFileError(f"{name} is not a model file of sat2map: {error}") from None
    return path
