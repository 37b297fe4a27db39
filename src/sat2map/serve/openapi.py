"""The API's description: FastAPI's, with the errors, and an example with curl for every operation."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sat2map.serve.problems import Problem

EXAMPLE_QUERY: Final = "x-example-query"  # of an operation whose parameters FastAPI does not know
_SERVICE: Final = "http://127.0.0.1:8000"
_ENDINGS: Final = {"image/png": "png", "image/tiff": "tif", "image/jpeg": "jpg", "application/json": "json"}


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
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            examples = parameter["schema"].get("examples") or [parameter["name"].upper()]
            path = path.replace(f"{{{parameter['name']}}}", str(examples[0]))
    query = operation.get(EXAMPLE_QUERY) or "&".join(
        f"{parameter['name']}={(parameter['schema'].get('examples') or [parameter['name'].upper()])[0]}"
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query" and parameter.get("required")
    )
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
