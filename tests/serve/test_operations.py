"""Tests what is there for those who run the service: the settings' table, the client, the container."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sat2map.cli.parsing import parse
from sat2map.cli.serve import serve
from sat2map.errors import SettingsError
from sat2map.inference import Translator
from sat2map.serve.serve_settings import Limits, parse_models

ROOT = Path(__file__).parents[2]


def test_the_documented_limits_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    for name, field in Limits.model_fields.items():
        row = f"| `--{name.replace('_', '-')}` | {field.default:g} | {field.description} |"
        assert row in text, row


def test_the_documented_client_works(server: Any, town: Any, model_file: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "service.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "sat2map_client.py").write_text(code)
    Image.fromarray(town).save(tmp_path / "town.png")
    script = (
        "import sys; from pathlib import Path; from sat2map_client import Sat2map, TranslationError\n"
        "client, folder = Sat2map(sys.argv[1]), Path(sys.argv[2])\n"
        "(folder / 'now.png').write_bytes(client.translate(folder / 'town.png', model='tiny'))\n"
        "client.translate_large(folder / 'town.png', folder / 'later.png')\n"
        "try: client.translate(folder / 'sat2map_client.py')\n"
        "except TranslationError as error: print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, server.url, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "PNG, JPEG, WebP or TIFF" in ran.stdout
    expected = Translator.open(model_file, image_only=True)(town)
    for name in ("now.png", "later.png"):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name)), expected)


def test_models_are_named_by_their_files_or_as_said() -> None:
    found = parse_models(["a/best.safetensors", "city=b/best.safetensors"])
    assert found == {"best": "a/best.safetensors", "city": "b/best.safetensors"}
    with pytest.raises(SettingsError, match="NAME=FILE"):
        parse_models(["a/best.safetensors", "b/best.safetensors"])
    with pytest.raises(SettingsError, match="cannot be the name"):
        parse_models(["a b=x"])


def test_what_cannot_be_served_is_one_sentence(model_file: Path, tmp_path: Path) -> None:
    import socket

    with pytest.raises(SettingsError, match="not a folder"):
        serve(model=(str(model_file),), rasters=tmp_path / "nothing")
    with pytest.raises(SettingsError, match="queue = '0': input should be greater than or equal to 1"):
        parse("serve", ["--model", str(model_file), "--queue", "0"])
    with pytest.raises(SettingsError, match="a new key needs"):
        serve(new_key="ann")
    with pytest.raises(SettingsError, match="--port 99999: use a number from 0 to 65535"):
        parse("serve", ["--model", str(model_file), "--port", "99999"])
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SettingsError, match="try another port"),
    ):
        serve(model=(str(model_file),), port=taken.getsockname()[1], state=tmp_path)


def test_the_dockerfile_is_linted() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    ran = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_the_container_is_not_root_read_only_and_looked_after() -> None:
    yaml = pytest.importorskip("yaml")
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["sat2map"]
    assert service["read_only"] is True
    assert service["user"] == "10001"
    assert service["cap_drop"] == ["ALL"]
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert "healthcheck" in service
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert dockerfile.index("USER 10001") < dockerfile.index("ENTRYPOINT")
    assert "HEALTHCHECK" in dockerfile
