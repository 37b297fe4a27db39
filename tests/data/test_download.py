"""Tests of sat2map.data.download and unpack, against a server on this machine."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from sat2map.cli.data import download_if_named
from sat2map.data import download as module
from sat2map.data.download import Downloaded, download
from sat2map.data.pairs import find_pairs
from sat2map.data.unpack import unpack
from sat2map.errors import DataError, OutputError


@dataclass
class Server:
    """What it serves, and how it fails.

    Attributes:
        files: Content by path.
        break_after: Bytes after which the connection of an answer breaks off, first answer first.
        failures: Statuses of the first answers.
        etag: What it says of the version; None for nothing.
        says_length: Whether it promises a length.
        asked: The Range header of every request, or "".
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    etag: str | None = '"1"'
    says_length: bool = True
    asked: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    server_of: ClassVar[Server]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass

    def do_GET(self) -> None:
        it = self.server_of
        asked = self.headers.get("Range", "")
        it.asked.append(asked)
        content = it.files.get(self.path)
        if content is None or it.failures:
            return self.send_error(it.failures.pop(0) if it.failures else 404)
        start = int(asked[6:-1]) if asked and self.headers["If-Range"] == it.etag else 0
        self.send_response(206 if start else 200)
        if it.says_length:
            self.send_header("Content-Length", str(len(content) - start))
        if it.etag:
            self.send_header("ETag", it.etag)
        self.end_headers()
        end = start + it.break_after.pop(0) if it.break_after else len(content)
        self.wfile.write(content[start:end])
        return None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    it = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"server_of": it}))
    it.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr(module, "OFFICIAL", f"{it.url}/official")
    monkeypatch.delenv("SAT2MAP_MIRROR", raising=False)
    try:
        yield it
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def tar_of(files: dict[str, bytes], *members: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for member in members:
            tar.addfile(member)
    return out.getvalue()


FACADES = {f"facades/{split}/{i}.png": picture(i) for i in range(3) for split in ("train", "val")}


@pytest.fixture
def archive(server: Server) -> bytes:
    content = tar_of(FACADES)
    server.files["/official/facades.tar.gz"] = content
    return content


def fetched(folder: Path, **values: Any) -> Downloaded:
    return download("facades", folder, **values)


def content_of(folder: Path) -> dict[str, bytes]:
    return {f"facades/{p.relative_to(folder)}": p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# what works


def test_a_data_set_is_fetched_and_found(server: Server, archive: bytes, tmp_path: Path) -> None:
    told = []
    result = fetched(tmp_path / "set", progress=lambda done, total: told.append((done, total)))
    assert content_of(tmp_path / "set") == FACADES
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
    assert told[-1] == (len(archive), len(archive))
    assert (result.size, result.images) == (len(archive), 6)
    assert result.sha256 == hashlib.sha256(archive).hexdigest()
    splits = find_pairs(tmp_path / "set")
    assert (len(splits["train"]), len(splits["val"])) == (3, 3)


def test_a_download_that_broke_off_goes_on_where_it_was(
    server: Server, archive: bytes, tmp_path: Path
) -> None:
    server.break_after = [100, 50]
    fetched(tmp_path / "set")
    assert server.asked == ["", "bytes=100-", "bytes=150-"]
    assert content_of(tmp_path / "set") == FACADES


def test_the_next_call_goes_on_where_the_last_gave_up(server: Server, archive: bytes, tmp_path: Path) -> None:
    server.break_after = [10, 10, 10]
    with pytest.raises(DataError, match=r"broke off after 30 of .* the next attempt continues this download"):
        fetched(tmp_path / "set")
    assert not (tmp_path / "set").exists()
    fetched(tmp_path / "set")
    assert server.asked[-1] == "bytes=30-"
    assert content_of(tmp_path / "set") == FACADES


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(
    server: Server, archive: bytes, tmp_path: Path
) -> None:
    server.break_after = [10, 10, 10]
    with pytest.raises(DataError):
        fetched(tmp_path / "set")
    server.files["/official/facades.tar.gz"] = tar_of({"facades/train/9.png": picture(9)})
    server.etag = '"2"'
    fetched(tmp_path / "set")
    assert content_of(tmp_path / "set") == {"facades/train/9.png": picture(9)}


def test_without_a_version_a_broken_download_starts_anew(
    server: Server, archive: bytes, tmp_path: Path
) -> None:
    server.break_after, server.etag = [100], None
    fetched(tmp_path / "set")
    assert server.asked == ["", ""]
    assert content_of(tmp_path / "set") == FACADES


def test_a_server_that_is_busy_is_asked_again(server: Server, archive: bytes, tmp_path: Path) -> None:
    server.failures = [503, 502]
    fetched(tmp_path / "set")
    assert len(server.asked) == 3


def test_a_mirror_is_asked_instead(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/mirror/facades.tar.gz"] = tar_of(FACADES)
    assert (
        fetched(tmp_path / "a", mirror=f"{server.url}/mirror/").url == f"{server.url}/mirror/facades.tar.gz"
    )
    monkeypatch.setenv("SAT2MAP_MIRROR", f"{server.url}/mirror")
    fetched(tmp_path / "b")
    assert content_of(tmp_path / "a") == content_of(tmp_path / "b") == FACADES


def test_a_checksum_that_is_right_is_accepted(server: Server, archive: bytes, tmp_path: Path) -> None:
    fetched(tmp_path / "set", sha256=hashlib.sha256(archive).hexdigest().upper())
    assert content_of(tmp_path / "set") == FACADES


def test_an_empty_folder_is_filled(server: Server, archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    fetched(tmp_path / "set")
    assert content_of(tmp_path / "set") == FACADES


# refusals


def refused(folder: Path, why: str, kind: type[Exception] = DataError, **values: Any) -> None:
    """Check that a download is refused in one sentence and leaves no data set."""
    with pytest.raises(kind, match=why) as caught:
        fetched(folder, **values)
    assert "\n" not in str(caught.value)
    assert not folder.exists()


def test_a_wrong_checksum_leaves_nothing(server: Server, archive: bytes, tmp_path: Path) -> None:
    digest = hashlib.sha256(archive).hexdigest()
    refused(tmp_path / "set", f"has the SHA-256 {digest}, not abc: the download was deleted", sha256="abc")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_archive_leaves_nothing(server: Server, archive: bytes, tmp_path: Path) -> None:
    for content in (archive[:-200], b"<html>moved</html>", archive[:300] + bytes(40) + archive[340:], b""):
        server.files["/official/facades.tar.gz"] = content
        refused(tmp_path / "set", "truncated or no tar archive|is damaged|holds no images")
        assert list(tmp_path.iterdir()) == []


def test_an_archive_cut_short_without_a_promised_length_is_refused(
    server: Server, archive: bytes, tmp_path: Path
) -> None:
    server.says_length, server.break_after = False, [len(archive) // 2]
    refused(tmp_path / "set", "truncated or no tar archive")


def test_a_file_that_is_not_there_is_one_sentence(server: Server, tmp_path: Path) -> None:
    refused(tmp_path / "set", r"/official/facades\.tar\.gz does not exist \(404 .*\): use another mirror")


def test_no_network_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    refused(
        tmp_path / "set",
        "cannot be reached .*: check the network, or use another mirror",
        mirror="http://127.0.0.1:9",  # the port that discards; nobody listens
    )


def test_a_mirror_that_is_no_address_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "set", "starts with http", mirror="/etc")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists and is not empty"):
        fetched(tmp_path / "set")
    assert (tmp_path / "set" / "mine.txt").read_text() == "mine"


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    server: Server, archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": len(archive)}))
    refused(tmp_path / "set", "MB free where the data set needs", OutputError)
    assert list(tmp_path.iterdir()) == []


# unpacking


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "name", ["../out.png", "facades/../../out.png", "/tmp/out.png", "a\\..\\out.png", "C:out.png"]
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.tar.gz").write_bytes(tar_of({"facades/train/1.png": picture(1), name: picture(2)}))
    with pytest.raises(DataError, match="wants to write outside of its folder"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "deep" / "set", inside="facades")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "a.tar.gz"]


def test_links_devices_and_other_files_are_left_out(tmp_path: Path) -> None:
    strange = (
        member("facades/train/passwd.png", tarfile.SYMTYPE, "/etc/passwd"),
        member("facades/train/hard.png", tarfile.LNKTYPE, "/etc/passwd"),
        member("facades/train/null.png", tarfile.CHRTYPE),
        member("facades/train/pipe.png", tarfile.FIFOTYPE),
    )
    files = {"facades/train/1.png": picture(1), "facades/run.sh": b"rm", "facades/train/._1.png": b"junk"}
    (tmp_path / "a.tar.gz").write_bytes(tar_of(files, *strange))
    assert unpack(tmp_path / "a.tar.gz", tmp_path / "set", inside="facades") == 1
    assert content_of(tmp_path / "set") == {"facades/train/1.png": picture(1)}


def test_an_archive_that_grows_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sat2map.data.unpack.LIMIT", 1000)
    (tmp_path / "a.tar.gz").write_bytes(tar_of({"facades/train/1.png": bytes(2000)}))
    with pytest.raises(DataError, match="holds more than"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "set", inside="facades")
    assert not (tmp_path / "set").exists()


def test_a_wrong_checksum_inside_the_gzip_is_told(tmp_path: Path) -> None:
    content = bytearray(tar_of({"facades/train/1.png": picture(1)}))
    content[-8:-4] = bytes(4)
    (tmp_path / "a.tar.gz").write_bytes(bytes(content))
    with pytest.raises(DataError, match="damaged"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "set", inside="facades")


# by name, where --data has one


def test_data_named_like_a_data_set_are_downloaded_once_and_their_terms_are_said(
    server: Server,
    archive: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level("INFO", logger="sat2map"):
        download_if_named(Path("facades"))
    assert content_of(tmp_path / "facades") == FACADES
    assert "CMP Facade Database" in caplog.text
    asked = len(server.asked)
    download_if_named(Path("facades"))
    assert len(server.asked) == asked


@pytest.mark.parametrize("data", ["pairs", "some/facades", "facades.csv"])
def test_other_names_of_data_ask_no_server(
    server: Server, archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    monkeypatch.chdir(tmp_path)
    download_if_named(Path(data))
    assert server.asked == []
