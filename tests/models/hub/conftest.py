"""A stand-in for the Hugging Face Hub: as much of its HTTP as pushing and fetching need."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

COMMIT = "a" * 40


@dataclass
class Hub:
    """What the stand-in knows and has been asked.

    Attributes:
        url: Where it answers.
        repos: Files by path, by repository.
        readers: Tokens that may read and not write.
        asked: Method and path of every request.
    """

    url: str = ""
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass

    def answer(self, status: int, body: Any = b"", *, length: int | None = None, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    @property
    def may_write(self) -> bool:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        return bool(token) and token not in self.hub.readers

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        match = re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([\w.-]+)/(.+)", self.path.split("?")[0])
        if match is None or match[1] not in self.hub.repos:
            return self.answer(404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        if match[2] not in ("main", COMMIT):
            return self.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message="Revision not found")
        content = self.hub.repos[match[1]].get(match[3])
        if content is None:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        return self.answer(200, content, ETag=etag, X_Repo_Commit=COMMIT)

    def do_PUT(self) -> None:
        self.hub.asked.append(f"PUT {self.path}")
        self.hub.objects[self.path.rpartition("/")[2]] = self.read()
        self.answer(200)

    def do_POST(self) -> None:
        self.hub.asked.append(f"POST {self.path}")
        body = self.read()
        if self.path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if not self.may_write:
            return self.answer(403, {"error": "Forbidden: you don't have the rights"})
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            repo = (
                f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
            )
            status = 409 if repo in self.hub.repos else 200
            self.hub.repos.setdefault(repo, {})
            return self.answer(status, {"url": f"{self.hub.url}/{repo}", "id": repo})
        if match := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path):
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = {path: "lfs" if path.endswith(".safetensors") else "regular" for path in files}
            told = [{"path": p, "uploadMode": modes[p], "shouldIgnore": False, "oid": None} for p in files]
            return self.answer(200, {"files": told})
        if self.path.endswith(".git/info/lfs/objects/batch"):
            found = json.loads(body)["objects"]
            for it in found:
                it["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{it['oid']}"}}
            return self.answer(200, {"transfer": "basic", "objects": found})
        if match := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            files_of = self.hub.repos[match[1]]
            for line in map(json.loads, body.decode().splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files_of[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files_of[value["path"]] = self.hub.objects[value["oid"]]
            url = f"{self.hub.url}/{match[1]}/commit/{COMMIT}"
            return self.answer(200, {"commitUrl": url, "commitOid": COMMIT, "success": True})
        return self.answer(404, {"error": f"the stand-in does not know {self.path}"})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that answers on this machine, which huggingface_hub takes for the real one."""
    constants = pytest.importorskip("huggingface_hub.constants")
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    # They are read from the environment once, when the library is imported.
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "writer")
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
