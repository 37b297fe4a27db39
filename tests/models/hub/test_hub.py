"""Tests of sat2map.models.hub, against a stand-in for the hub's HTTP interface."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from safetensors.numpy import save_file

from sat2map.errors import ModelFileError, OutputError
from sat2map.images.palette import Palette
from sat2map.inference import Translator
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.hub import HubName, is_hub_name, push
from sat2map.models.hub.card import model_card
from sat2map.models.model import Model
from sat2map.models.model_file import ModelHeader, read_header, save_model

# huggingface_hub's own way with its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

HEADER = ModelHeader(
    created_with="0.1.0",
    generator=GeneratorSpec(width=4, depth=2),
    gsd=0.9,
    palette=Palette.load("maps"),
    scores={"mean_iou": 0.4412},
    steps=1234,
    settings={"epochs": 7},
    notes="fine-tuned from other.safetensors",
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_model(tmp_path / "best.safetensors", build_generator(HEADER.generator).state_dict(), HEADER)
    return tmp_path / "best.safetensors"


# names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hf://me/maps", HubName("me/maps")),
        ("hf://me/maps/", HubName("me/maps")),
        ("hf://me/maps/deep/er.safetensors", HubName("me/maps", None, "deep/er.safetensors")),
        ("hf://me/maps@v1.0", HubName("me/maps", "v1.0")),
        ("hf://me/maps@v1/x.safetensors", HubName("me/maps", "v1", "x.safetensors")),
        (Path("hf://me/maps"), HubName("me/maps")),  # pathlib leaves one slash
    ],
)
def test_a_name_is_read(text: str | Path, name: HubName) -> None:
    assert is_hub_name(text)
    assert HubName.parse(text) == name
    assert HubName.parse(str(name)) == name


@pytest.mark.parametrize("text", ["hf://maps", "hf://me/ma ps", "hf://me//x"])
def test_a_name_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ModelFileError, match="names no model: write hf://USER/REPO"):
        HubName.parse(text)


def test_a_path_is_not_a_name_on_the_hub() -> None:
    assert not is_hub_name("hf/best.safetensors")


# there and back


def test_a_pushed_model_comes_back_bit_for_bit(hub: Any, model: Path) -> None:
    pushed = push(model, "me/maps")
    assert (pushed.name, pushed.url, pushed.card_kept) == ("hf://me/maps", f"{hub.url}/me/maps", False)
    assert sorted(hub.repos["me/maps"]) == ["README.md", "model.safetensors"]
    assert sum("/commit/main" in line for line in hub.asked) == 1  # both in one commit
    assert Model.find("hf://me/maps").path.read_bytes() == model.read_bytes()


def test_a_model_of_the_hub_translates(hub: Any, model: Path) -> None:
    push(model, "me/maps")
    translator = Translator.open("hf://me/maps", engine="onnx")
    assert translator(np.zeros((33, 20, 3), np.uint8)).shape == (33, 20, 3)


def test_a_second_fetch_takes_the_cache(hub: Any, model: Path) -> None:
    push(model, "me/maps")
    first = Model.find("hf://me/maps").path
    hub.asked.clear()
    assert Model.find("hf://me/maps").path == first
    assert not [line for line in hub.asked if line.startswith("GET")]


def test_without_a_network_the_cache_serves(hub: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(model, "me/maps")
    first = Model.find("hf://me/maps").path
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert Model.find("hf://me/maps").path == first
    assert hub.asked == []
    with pytest.raises(ModelFileError, match="out of reach and there is no copy in the cache"):
        Model.find("hf://me/other")


def test_another_file_and_a_commit_can_be_named(hub: Any, model: Path) -> None:
    hub.repos["me/maps"] = {"small/x.safetensors": model.read_bytes()}
    assert read_header(Model.find(f"hf://me/maps@{'a' * 40}/small/x.safetensors").path) == read_header(model)


def test_a_card_that_is_there_is_left_alone_unless_told(hub: Any, model: Path) -> None:
    hub.repos["me/maps"] = {"README.md": b"written by hand"}
    assert push(model, "me/maps").card_kept
    assert hub.repos["me/maps"]["README.md"] == b"written by hand"
    assert not push(model, "me/maps", replace_card=True).card_kept
    assert hub.repos["me/maps"]["README.md"].startswith(b"---\nlibrary_name: sat2map")


def test_the_environments_endpoint_token_and_cache_are_respected(
    hub: Any, model: Path, tmp_path: Path
) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from sat2map.models.hub import push; from sat2map.models.model import Model\n"
        "push(Path(sys.argv[1]), 'me/maps'); print(Model.find('hf://me/maps').path)"
    )
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", program, str(model)]
    done = subprocess.run(
        command, env=os.environ | settings, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert Path(done).is_relative_to(tmp_path / "home")
    assert hub.repos["me/maps"]["model.safetensors"] == model.read_bytes()


# refusals


def not_fetched(name: str, why: str) -> None:
    with pytest.raises(ModelFileError, match=why) as caught:
        Model.find(name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_repository_that_is_not_there_is_one_sentence(hub: Any) -> None:
    not_fetched("hf://me/nothing", "no such repository, or it is not yours to see")


def test_a_file_and_a_revision_that_are_not_there_are_one_sentence(hub: Any, model: Path) -> None:
    push(model, "me/maps")
    not_fetched("hf://me/maps/other.safetensors", "has no such file")
    not_fetched("hf://me/maps@v9", "has no such revision")


def test_a_hub_out_of_reach_is_one_sentence(hub: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between its attempts
    nobody = "http://127.0.0.1:9"  # the port that discards; nobody listens
    monkeypatch.setattr(constants, "ENDPOINT", nobody)
    template = f"{nobody}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    not_fetched("hf://me/maps", "out of reach")
    with pytest.raises(OutputError, match="cannot be pushed to me/maps: the hub is out of reach"):
        push(model, "me/maps")


def test_a_file_of_another_program_is_one_sentence(hub: Any, tmp_path: Path) -> None:
    save_file({"a": np.zeros(1)}, tmp_path / "x.safetensors")
    hub.repos["me/maps"] = {"model.safetensors": (tmp_path / "x.safetensors").read_bytes()}
    not_fetched("hf://me/maps", "is not a model file of sat2map")


def test_no_rights_are_one_sentence_and_leave_nothing(
    hub: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.readers.add("reader")
    monkeypatch.setenv("HF_TOKEN", "reader")
    with pytest.raises(OutputError, match=r"no rights to it \(403\); log in with 'hf auth login'") as caught:
        push(model, "them/maps")
    assert "\n" not in str(caught.value)
    assert hub.repos == {}


@pytest.mark.parametrize("repo", ["maps", "me/my maps", "hf://maps", "a/b/c"])
def test_a_name_that_is_none_is_refused_before_anything_is_asked(hub: Any, model: Path, repo: str) -> None:
    with pytest.raises(OutputError, match="names no repository: write USER/REPO"):
        push(model, repo)
    assert hub.asked == []


def test_what_is_no_model_file_is_not_pushed(hub: Any, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_text("no")
    with pytest.raises(ModelFileError, match="is not a model file"):
        push(tmp_path / "x.safetensors", "me/maps")
    assert hub.asked == []


def test_an_upload_that_breaks_off_is_one_sentence_and_commits_nothing(
    hub: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: Any) -> None:
        raise ConnectionError("connection reset by peer")

    monkeypatch.setattr("huggingface_hub._commit_api.lfs_upload", broken)
    with pytest.raises(OutputError, match=r"out of reach \(connection reset by peer\)"):
        push(model, "me/maps")
    assert hub.repos == {"me/maps": {}}


# the card


def test_the_card_has_what_the_header_says() -> None:
    card = model_card(HEADER, "me/maps")
    for words in (
        "# maps",
        "--model hf://me/maps",
        "land, building, road, park, water, highway",
        "0.9 m a pixel",
        "| mean_iou | 0.4412 |",
        "1234 steps, sat2map 0.1.0",
        "Notes: fine-tuned from other.safetensors.",
        '"epochs": 7',
    ):
        assert words in card, words


def test_the_cards_metadata_is_what_the_hub_reads() -> None:
    metadata = yaml.safe_load(model_card(HEADER, "me/maps").split("---")[1])
    assert (metadata["library_name"], metadata["pipeline_tag"]) == ("sat2map", "image-to-image")
    assert "pix2pix" in metadata["tags"]
    assert "license" not in metadata  # whose weights they are is not ours to say


def test_the_card_of_a_bare_header_claims_nothing() -> None:
    card = model_card(ModelHeader(generator=GeneratorSpec()), "me/maps")
    assert "None are in the model file" in card
    assert "The scores were taken" not in card
    assert "satellite" not in card


def test_the_card_of_a_model_with_parts_of_others_has_their_licences() -> None:
    header = HEADER.model_copy(update={"licenses": {"encoder": "Apache License 2.0, (c) the makers"}})
    assert "**encoder**\n\n```text\nApache License 2.0, (c) the makers\n```" in model_card(header, "me/maps")
    assert "Parts that others made" not in model_card(HEADER, "me/maps")
