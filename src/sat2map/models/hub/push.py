"""`push`: a model file and its card become one commit on the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sat2map.errors import OutputError
from sat2map.models.hub.card import model_card
from sat2map.models.hub.fetch import DEFAULT_FILE
from sat2map.models.hub.hub_errors import translate_hub_errors
from sat2map.models.model_file import read_header

CARD = "README.md"


@dataclass(frozen=True)
class Pushed:
    """What a push left on the hub.

    Attributes:
        url: The repository's page.
        name: The model's name on the hub, as `Model.find` takes it.
        card_kept: True where the repository had a card already, which was left alone.
    """

    url: str
    name: str
    card_kept: bool


def push(model: Path, repo: str, *, private: bool = False, replace_card: bool = False) -> Pushed:
    """Put a model file on the Hugging Face Hub, with a model card written from its header.

    Model and card go up as one commit: the repository has both or none. The token is that of `hf auth login`
    or `HF_TOKEN`.

    Args:
        model: A model file.
        repo: `user/repo`; made where it does not exist.
        private: Whether a repository that is made is for its owner's eyes only.
        replace_card: Whether a card that is already there may be replaced; a person may have edited it.

    Raises:
        ModelFileError: The model file cannot be used.
        OutputError: The name is none, the hub is out of reach, or says that we have no rights.
        MissingExtraError: huggingface_hub is not installed.
    """
    header = read_header(model)
    repo = re.sub("^hf:/{1,2}", "", repo)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise OutputError(f"'{repo}' names no repository: write USER/REPO")
    card = model_card(header, repo).encode()
    with translate_hub_errors(f"{model} cannot be pushed to {repo}", OutputError):
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi(library_name="sat2map")
        url = api.create_repo(repo, private=private or None, exist_ok=True)
        card_kept = not replace_card and api.file_exists(repo, CARD)
        operations = [CommitOperationAdd(DEFAULT_FILE, model)]
        if not card_kept:
            operations.append(CommitOperationAdd(CARD, card))
        api.create_commit(repo, operations, commit_message=f"Add {model.name}, written by sat2map")
    return Pushed(str(url), f"hf://{repo}", card_kept)
