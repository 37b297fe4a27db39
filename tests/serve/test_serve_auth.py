"""Tests API keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sat2map.errors import SettingsError
from sat2map.serve.auth import ApiKeys, new_key
from sat2map.serve.http_errors import UnauthorizedError


def test_a_key_is_known_by_its_hash_only(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    key, other = new_key(path, "ann"), new_key(path, "bob")
    assert key not in path.read_text()
    keys = ApiKeys.read(path)
    assert (keys.check(key), keys.check(other)) == ("ann", "bob")
    for wrong in (None, "", key[:-1], key + "x", "Ä\udcff"):
        with pytest.raises(UnauthorizedError):
            keys.check(wrong)


@pytest.mark.parametrize("text", ["", "# nothing\n", "ann plain-text-key\n", "ann sha256:123\n"])
def test_a_file_without_hashed_keys_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(SettingsError, match="make"):
        ApiKeys.read(tmp_path / "keys")


def test_a_name_is_given_once(tmp_path: Path) -> None:
    new_key(tmp_path / "keys", "ann")
    with pytest.raises(SettingsError, match="ann"):
        new_key(tmp_path / "keys", "ann")
    with pytest.raises(SettingsError):
        new_key(tmp_path / "keys", "two words")


def test_a_service_with_keys_lets_nobody_else_in_and_keeps_jobs_apart(
    start: Any, tmp_path: Path, raster_folder: Path
) -> None:
    path = tmp_path / "keys"
    ann, bob = new_key(path, "ann"), new_key(path, "bob")
    server = start("--api-keys", path, "--rasters", raster_folder)
    body = (raster_folder / "north" / "town.tif").read_bytes()
    with server.client() as nobody:
        for method, address in [
            ("POST", "/v1/translate"), ("POST", "/v1/jobs"), ("GET", "/v1/jobs/x"), ("GET", "/v1/models"),
            ("GET", "/rasters"), ("GET", "/rasters/north--town/tiles/16/0/0.png"), ("GET", "/metrics"),
            ("POST", "/v1/preview"),
        ]:  # fmt: skip
            answer = nobody.request(method, address)
            assert answer.status_code == 401, address
            assert answer.headers["www-authenticate"] == "Bearer"
        assert nobody.get("/").status_code == nobody.get("/healthz").status_code == 200
        assert nobody.get("/v1/models", headers={"Authorization": "Bearer wrong"}).status_code == 401
    with (
        server.client(headers={"Authorization": f"Bearer {ann}"}) as hers,
        server.client(headers={"Authorization": f"Bearer {bob}"}) as his,
    ):
        address = hers.post("/v1/jobs", content=body).headers["location"]
        assert hers.get(address).status_code == 200
        assert his.get(address).status_code == his.delete(address).status_code == 404
        assert hers.delete(address).status_code == 204
        tile = hers.get("/rasters/north--town:imagery/tiles/10/300/385.png")
        assert tile.headers["cache-control"].startswith("private")
    assert ann not in "".join(server.log)
