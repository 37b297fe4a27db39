"""The API's description: FastAPI's, with the errors, and an example with curl for every operation."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi

from sat2map.serve.http_errors import BadRequestError, BusyError, InsufficientStorageError
from sat2map.serve.problems import MEDIA_TYPE as PROBLEM_TYPE
from sat2map.serve.problems import PROBLEMS, Problem

EXAMPLE_QUERY: Final = "x-example-query"  # of an operation whose parameters FastAPI does not know
_SERVICE: Final = "http://127.0.0.1:8000"
_ALWAYS: Final = (BadRequestError, RequestValidationError, BusyError, InsufficientStorageError)
_ENDINGS: Final = {"image/png": "png", "image/tiff": "tif", "image/jpeg": "jpg", "application/json": "json"}


def documented(*kinds_of_error: type[Exception]) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` for these errors and the ones that every operation may answer with."""
    found: dict[int | str, dict[str, Any]] = {}
    kinds = [PROBLEMS[error] for error in (*_ALWAYS, *kinds_of_error)]
    for kind in sorted(kinds, key=lambda kind: kind.status):
        content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        entry = found.setdefault(kind.status, {"description": kind.title, "content": content})
        if kind.title not in entry["description"]:
            entry["description"] += f"; {kind.title[0].lower()}{kind.title[1:]}"
        if kind.status in (503, 507):
            entry["headers"] = {
                "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}
            }
    return found


def describe_api(app: FastAPI) -> dict[str, Any]:
    """Return the app's OpenAPI document, made once."""
    if not app.openapi_schema:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schema["components"].setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                example = f"```sh\n{_curl(method, path, operation)}\n```"
                operation["description"] = f"{operation.get('description', '')}\n\n{example}".strip()
        app.openapi_schema = schema
    return app.openapi_schema


def _curl(method: str, path: str, operation: dict[str, Any]) -> str:
    """Return a request that works, but for the ids and names in it."""
    needed = []
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        example = (parameter["schema"].get("examples") or [name.upper()])[0]
        if parameter["in"] == "path":
            path = path.replace(f"{{{name}}}", str(example))
        elif parameter["in"] == "query" and parameter.get("required"):
            needed.append(f"{name}={example}")
    query = operation.get(EXAMPLE_QUERY) or "&".join(needed)
    address = f"'{_SERVICE}{path}?{query}'" if query else f"{_SERVICE}{path}"
    parts = ["curl", *(["--request", method.upper()] if method not in ("get", "post") else [])]
    if "requestBody" in operation:
        parts += ["--data-binary", "@photo.jpg"]
    made = [
        content for content in operation["responses"].get("200", {}).get("content", {}) if "*" not in content
    ]
    binary = [content for content in made if content.startswith("image/")]
    output = ["--output", f"map.{_ENDINGS.get(binary[0], 'png')}"] if binary else []
    return " ".join([*parts, address, *output])
