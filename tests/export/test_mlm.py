"""A model as a STAC item: valid by the schemas, and true."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("pystac", reason="validates items")

from sat2map.cli.main import main
from sat2map.export import export_model
from sat2map.export.mlm import describe_model
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model import Model
from sat2map.models.model_file import ModelHeader, read_weights


def validate(item):
    """Validate as the tests of geo do."""
    path = Path(__file__).parents[1] / "geo" / "stac_schemas.py"
    spec = importlib.util.spec_from_file_location("stac_schemas", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.validate(item)


@pytest.fixture(scope="module")
def item(tmp_path_factory):
    """The item of the model that comes with the package."""
    output = tmp_path_factory.mktemp("mlm") / "maps.json"
    export_model(None, "mlm", output)
    return json.loads(output.read_text())


def test_the_item_is_valid_by_the_schemas_of_stac_and_of_mlm(item):
    validate(item)


def test_the_item_says_what_the_model_takes_and_gives(item):
    model = Model.find()
    about = item["properties"]
    assert about["mlm:input"][0]["bands"] == ["red", "green", "blue"]
    classes = about["mlm:output"][0]["classification:classes"]
    assert model.header.palette is not None
    assert [one["name"] for one in classes] == list(model.header.palette.names)
    learnt = [t.numel() for name, t in read_weights(model.path).items() if "running" not in name]
    assert about["mlm:total_parameters"] == pytest.approx(sum(learnt), abs=100)  # counters of batches
    assert about["sat2map:model_sha256"] == model.sha256
    assert about["gsd"] == model.header.gsd


def test_a_model_that_draws_images_is_described_too():
    item = describe_model(ModelHeader(generator=GeneratorSpec()), "1 é?", 5)
    item["assets"]["model"]["href"] = "./m.safetensors"
    validate(item)
    assert item["properties"]["mlm:tasks"] == ["generative"]


def test_the_command_writes_it_where_it_is_told(tmp_path, capsys):
    main(["export", "--to", "mlm", "--output", str(tmp_path / "m.json")])
    assert json.loads((tmp_path / "m.json").read_text())["assets"]["model"]["href"].endswith(".safetensors")
    with pytest.raises(SystemExit) as stop:
        main(["export", "--to", "mlm", "--output", str(tmp_path / "m.json")])
    assert stop.value.code == 2
    assert "m.json exists" in capsys.readouterr().err
