"""Downloads of models from the hub, into the cache that all of its tools share."""

from __future__ import annotations

from pathlib import Path

from sat2map.errors import ModelFileError
from sat2map.models.hub.hub_errors import translate_hub_errors
from sat2map.models.hub.names import HubName
from sat2map.models.model_file import read_header


def fetch(model: str | Path) -> tuple[Path, str]:
    """Return where a model of the hub lies on this disk after a download, and its full name.

    A file in the cache is not fetched again; without a network, or with `HF_HUB_OFFLINE=1`, the cache's copy
    serves. Cache, endpoint and token are those of huggingface_hub (`HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`).

    Raises:
        ModelFileError: The hub has no such model, is out of reach and the cache has none, or the file there
            is not a model file of sat2map.
        MissingExtraError: huggingface_hub is not installed.
    """
    name = HubName.parse(model)
    with translate_hub_errors(f"{name} cannot be fetched", ModelFileError):
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
    return path, str(name)
