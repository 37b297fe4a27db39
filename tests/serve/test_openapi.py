"""Tests that the API does what its OpenAPI says, whatever is sent: schemathesis makes up the requests."""

from __future__ import annotations

import re
import shlex
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image

schemathesis = pytest.importorskip("schemathesis", minversion="4")
import schemathesis.specs.openapi.checks as checks  # noqa: E402

# Random bytes are no image, though the schema cannot say so; and an unknown name is 404, not bad data.
EXCLUDED = [checks.positive_data_acceptance]


def test_the_api_answers_as_its_openapi_says(server: Any) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 15
    seen: set[tuple[str, int]] = set()
    usual = settings(
        max_examples=8,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about its dependencies
        for operation in operations:

            @usual
            @given(case=operation.as_strategy())
            def check(case: Any) -> None:
                seen.add(
                    (
                        case.operation.label,
                        case.call_and_validate(excluded_checks=EXCLUDED, timeout=120).status_code,
                    )
                )

            check()
    assert {label for label, _ in seen} == {operation.label for operation in operations}
    assert {200, 404, 422} <= {status for _, status in seen}


WMTS_FAILURE = "400"  # of WMTS's own kind, which its clients read


def test_every_operation_says_how_it_may_fail(server: Any) -> None:
    with server.client() as client:
        document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            failures = {code for code in operation["responses"] if code[0] in "45"}
            assert failures or path in ("/healthz",), (method, path)
            for code in failures:
                own = path == "/wmts" and code == WMTS_FAILURE
                kind = "application/xml" if own else "application/problem+json"
                assert list(operation["responses"][code]["content"]) == [kind], (method, path, code)
    assert "HTTPValidationError" not in str(document["paths"])


def test_every_operation_has_an_example_that_curl_can_send(server: Any, tmp_path: Path, town: Any) -> None:
    Image.fromarray(town).save(tmp_path / "photo.jpg")
    with server.client() as client:
        document = client.get("/openapi.json").json()
    missing = []  # ids and names of the examples are of things that are not there
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            command = re.search(r"```sh\n(.*)\n```", operation["description"])
            assert command, (method, path)
            words = [*shlex.split(command[1].replace("http://127.0.0.1:8000", server.url)), "--silent"]
            if path.endswith("/metrics") or "--output" in words or "{" in path or path.startswith("/v1"):
                words += ["--output", "/dev/null"]
            status = subprocess.run(
                [*words, "--write-out", "%{stderr}%{http_code}"], cwd=tmp_path, capture_output=True, text=True
            ).stderr
            if status == "404" and "{" in path:
                missing.append(path)
            else:
                assert status[0] == "2", (command[1], status)
    assert all("{" in path for path in missing)
