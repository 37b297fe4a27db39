"""Tests of bulk jobs from and into object storage, against moto as a server of its own on this machine."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import rasterio

from sat2map.bulk.inputs import find_sources
from sat2map.bulk.manifest import TaskRecord
from sat2map.bulk.pipeline import BulkSummary, run_bulk
from sat2map.bulk.planning import plan_tasks
from sat2map.bulk.store import Store, scratch_folder
from sat2map.bulk.tasks import BulkPlan
from sat2map.bulk.worker import WorkOptions
from sat2map.errors import DataError, MissingExtraError, OutputError, SettingsError
from sat2map.files import sha256_of
from sat2map.geo.gdal import gdal_env

pytest.importorskip("obstore", reason="the cloud extra is not installed")

KEY, SECRET = "testing", "a-secret-that-is-written-nowhere"
pytestmark = [
    # boto3, the oracle, leaves its connections to the end of the process.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of moto."""
    path = tmp_path_factory.mktemp("moto") / "log"
    log = path.open("w")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while not (address := re.search(r"Running on (http://127\.0\.0\.1:\d+)", path.read_text())):
            assert process.poll() is None, path.read_text()
            time.sleep(0.1)
        yield address[1]
    finally:
        process.terminate()
        process.wait()
        log.close()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An empty bucket `maps`, as boto3 sees it; the environment has what leads there."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "SAT2MAP_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    made = boto3.resource("s3").Bucket("maps")
    if made.creation_date is not None:
        made.objects.all().delete()
    made.create()
    return made


@pytest.fixture
def stored(options: WorkOptions, bucket: Any) -> WorkOptions:
    """How the jobs of these tests are done, into s3://maps/job."""
    return in_store(options, "s3://maps/job")


def in_store(options: WorkOptions, url: str) -> WorkOptions:
    return replace(options, store=url, folder=scratch_folder(url, ""))


def objects(bucket: Any, prefix: str = "job/") -> dict[str, bytes]:
    return {
        one.key.removeprefix(prefix): one.get()["Body"].read() for one in bucket.objects.filter(Prefix=prefix)
    }


def maps(bucket: Any) -> dict[str, bytes]:
    return {name: content for name, content in objects(bucket).items() if name.endswith(".tif")}


def put_photos(bucket: Any, photos: Path, *names: str) -> None:
    for path in photos.glob("*.tif"):
        if not names or path.name in names:
            bucket.upload_file(str(path), f"photos/{path.name}")


def test_a_job_in_object_storage_holds_what_a_job_in_a_folder_holds(
    plan: BulkPlan, stored: WorkOptions, bucket: Any, plainly: dict[str, bytes], tmp_path: Path
) -> None:
    summary = run_bulk(plan, stored)
    assert (summary.done, summary.failed, summary.left) == (len(plan.tasks), (), 0)
    found = objects(bucket)
    assert {name: found[name] for name in plainly} == plainly
    lines = [line.split("  ") for line in found["SHA256SUMS"].decode().splitlines()]
    assert sorted(name for _, name in lines) == sorted(plainly)
    with gdal_env(), rasterio.open("/vsis3/maps/job/large.vrt") as joined:
        assert (joined.width, joined.height) == (1203, 1001)
        assert joined.checksum(1) > 0
    assert not (tmp_path / "cache" / "bulk").exists()


def test_inputs_are_read_from_object_storage_too(
    photos: Path, stored: WorkOptions, bucket: Any, plainly: dict[str, bytes]
) -> None:
    put_photos(bucket, photos)
    plan = plan_tasks(find_sources(["s3://maps/photos/"]), cut=640)
    run_bulk(plan, stored)
    found = maps(bucket)
    assert sorted(found) == sorted(plainly)
    for name, content in plainly.items():
        with rasterio.MemoryFile(found[name]) as one, rasterio.MemoryFile(content) as other:
            assert (one.open().read() == other.open().read()).all()


def test_windows_become_one_cog_in_object_storage(
    photos: Path, stored: WorkOptions, options: WorkOptions, bucket: Any
) -> None:
    plan = plan_tasks([str(photos / "large.tif")], cut=640)
    run_bulk(plan, stored, assemble="cog")
    local = run_bulk(plan, options, assemble="cog")
    assert objects(bucket)["large.tif"] == local.assembled[0].read_bytes()


def test_two_shards_in_object_storage_make_what_one_run_makes(
    plan: BulkPlan, stored: WorkOptions, bucket: Any, plainly: dict[str, bytes]
) -> None:
    first = run_bulk(plan, stored, shard=(0, 2))
    assert (first.done, first.left) == (5, 4)
    second = run_bulk(plan, stored, shard=(1, 2))
    assert (second.done, second.left, [path.name for path in second.assembled]) == (4, 0, ["large.vrt"])
    assert maps(bucket) == plainly


def test_a_resumed_job_does_what_is_missing_damaged_or_failed_and_nothing_else(
    plan: BulkPlan, stored: WorkOptions, bucket: Any, plainly: dict[str, bytes]
) -> None:
    run_bulk(plan, stored)
    bucket.Object("job/small1.tif").delete()
    bucket.Object("job/small2.tif").put(Body=b"cut short")
    before = {one.key: one.last_modified for one in bucket.objects.all()}
    seen: list[str] = []
    again = run_bulk(
        plan, stored, resume=True, progress=lambda record, *_: record and seen.append(record.output)
    )
    assert (again.done, again.skipped, sorted(seen)) == (2, 7, ["small1.tif", "small2.tif"])
    assert maps(bucket) == plainly
    assert before.keys() <= {one.key for one in bucket.objects.all()}


def test_a_job_that_was_killed_in_the_middle_is_resumed(
    photos: Path, stored: WorkOptions, bucket: Any, plainly: dict[str, bytes], tmp_path: Path
) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import os, pickle, signal, sys\n"
        "from sat2map.bulk.pipeline import run_bulk\n"
        "plan, options = pickle.loads(open(sys.argv[1], 'rb').read())\n"
        "def kill(record, done, total):\n"
        "    if done == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "run_bulk(plan, options, progress=kill)\n"
    )
    import pickle

    plan = plan_tasks([str(path) for path in sorted(photos.glob("*.tif"))], cut=640)
    (tmp_path / "job.pickle").write_bytes(pickle.dumps((plan, stored)))
    killed = subprocess.run([sys.executable, str(script), str(tmp_path / "job.pickle")], check=False)
    assert killed.returncode == -signal.SIGKILL
    whole = maps(bucket)
    assert 3 <= len(whole) < len(plainly)
    assert whole == {name: plainly[name] for name in whole}
    summary = run_bulk(plan, stored, resume=True)
    assert summary.skipped >= 3  # what the killed process wrote down here was put by the next
    assert (summary.left, maps(bucket)) == (0, plainly)
    assert not list(bucket.multipart_uploads.all())
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_no_upload_is_made_in_parts(stored: WorkOptions, bucket: Any, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(12 << 20))  # S3's clients begin with parts at 5 or 8 MB
    Store(stored.store).upload("large.bin", large)
    etag = bucket.Object("job/large.bin").e_tag
    assert "-" not in etag  # of an upload in parts: MD5-COUNT
    Store(stored.store).download("large.bin", tmp_path / "back.bin")
    assert sha256_of(tmp_path / "back.bin") == sha256_of(large)


def test_another_job_in_the_same_place_is_refused(plan: BulkPlan, stored: WorkOptions, bucket: Any) -> None:
    few = BulkPlan(plan.tasks[-1:])
    run_bulk(few, stored)
    with pytest.raises(SettingsError, match=r"s3://maps/job holds a job already"):
        run_bulk(few, stored)
    with pytest.raises(SettingsError, match="was begun with another tta"):
        run_bulk(few, replace(stored, tta=True), resume=True)
    bucket.Object("else/file").put(Body=b"x")
    with pytest.raises(SettingsError, match=r"s3://maps/else is not empty"):
        run_bulk(few, in_store(stored, "s3://maps/else"))


def test_a_missing_bucket_is_told(plan: BulkPlan, options: WorkOptions, bucket: Any) -> None:
    with pytest.raises(OutputError, match=r"there is no bucket 'none' \(s3://none/job\)"):
        run_bulk(plan, in_store(options, "s3://none/job"))
    with pytest.raises(OutputError, match="there is no bucket 'none'"):
        find_sources(["s3://none/photos/"])


def test_missing_credentials_are_told(
    plan: BulkPlan, options: WorkOptions, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://169.254.169.254:1")
    with pytest.raises(OutputError, match="there are no credentials: set AWS_ACCESS_KEY_ID"):
        run_bulk(plan, in_store(options, "s3://maps/without"))


def test_a_network_that_is_gone_is_told(
    plan: BulkPlan, options: WorkOptions, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OutputError, match=r"s3://maps/gone cannot be read: the store does not answer"):
        run_bulk(plan, in_store(options, "s3://maps/gone"))


class Stumbling(BaseHTTPRequestHandler):
    """A store that refuses its first requests, or all, with 503."""

    fails = 0
    seen = 0

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).seen += 1
        is_down = type(self).seen <= type(self).fails
        body = b"<Error><Code>SlowDown</Code><Message>key testing</Message></Error>" if is_down else b""
        self.send_response(503 if is_down else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"x"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def stumbling(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Stumbling]]:
    kind = type("Kind", (Stumbling,), {"seen": 0})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{httpd.server_port}")
    yield kind
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_a_store_that_stumbles_is_asked_again(stumbling: type[Stumbling]) -> None:
    stumbling.fails = 2
    assert Store("s3://maps/stumbling").put("x", b"content")
    assert stumbling.seen == 3


def test_a_store_that_stays_down_is_asked_five_times_and_told_without_its_words(
    stumbling: type[Stumbling],
) -> None:
    stumbling.fails = 1000
    with pytest.raises(
        OutputError, match=r"answers 503 Service Unavailable, SlowDown, after 4 retries"
    ) as told:
        Store("s3://maps/down").put("x", b"content")
    assert stumbling.seen == 5
    assert "testing" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://", "no address of object storage"),
        ("ftp://maps/job", "ftp://maps/job is no address of object storage"),
        ("https://example.org/maps", "is no address of object storage"),
        (f"s3://{KEY}:{SECRET}@maps/job", "the address of s3://maps/job holds a key"),
        (f"az://maps/job?sig={SECRET}", "the address of az://maps/job holds a key"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_key(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as told:
        Store(url)
    assert SECRET not in str(told.value)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sat2map.extras.is_installed", lambda module: module != "obstore")
    with pytest.raises(MissingExtraError, match="object storage needs the 'cloud' extra"):
        Store("s3://maps/job")


def test_keys_are_in_no_object_and_no_message(
    photos: Path, stored: WorkOptions, bucket: Any, tmp_path: Path
) -> None:
    signed = f"https://127.0.0.1:9/photo.tif?X-Amz-Signature={SECRET}"
    summary = run_bulk(plan_tasks([str(photos / "small0.tif"), signed]), stored)
    assert len(summary.failed) == 1
    found = objects(bucket)
    assert [row["source"][:28] for row in csv.DictReader(io.StringIO(found["failures.csv"].decode()))] == [
        "https://127.0.0.1:9/photo.ti"
    ]
    left = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for content in [*found.values(), *left, summary.failed[0].to_json().encode()]:
        assert SECRET.encode() not in content


def test_the_keys_of_a_profile_are_found(
    bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(
        f"[other]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    )
    (tmp_path / "config").write_text(f"[profile other]\nregion = us-east-1\nendpoint_url = {server}\n")
    monkeypatch.setenv("AWS_PROFILE", "other")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    Store("s3://maps/profile").put("x", b"content")
    assert objects(bucket, "profile/") == {"x": b"content"}


@pytest.fixture
def tree(bucket: Any) -> Any:
    for key in ("a.tif", "b.PNG", "c.txt", ".d.tif", "deep/e.tif", "deep/er/f.tif"):
        bucket.Object(f"in/{key}").put(Body=b"x")
    return bucket


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://maps/in/", ["a.tif", "b.PNG"]),
        ("s3://maps/in/*.tif", [".d.tif", "a.tif"]),
        ("s3://maps/in/*/*.tif", ["deep/e.tif"]),
        ("s3://maps/in/**/*.tif", [".d.tif", "a.tif", "deep/e.tif", "deep/er/f.tif"]),
        ("s3://maps/i?/[ab].*", ["a.tif", "b.PNG"]),
    ],
)
def test_folders_and_globs_of_object_storage_are_listed(tree: Any, text: str, expected: list[str]) -> None:
    assert find_sources([text]) == [f"s3://maps/in/{name}" for name in expected]


def test_a_list_in_object_storage_names_what_lies_beside_it(tree: Any) -> None:
    tree.Object("in/list.csv").put(Body=b"path\na.tif\ndeep/e.tif\ns3://other/x.tif\n")
    item = {"id": "i", "type": "Feature", "assets": {"visual": {"href": "deep/e.tif"}}}
    tree.Object("in/item.json").put(Body=json.dumps(item).encode())
    assert find_sources(["s3://maps/in/list.csv", "s3://maps/in/item.json"]) == [
        "s3://maps/in/a.tif",
        "s3://maps/in/deep/e.tif",
        "s3://other/x.tif",
    ]
    with pytest.raises(DataError, match=r"s3://maps/in/none\.csv does not exist"):
        find_sources(["s3://maps/in/none.csv"])
    with pytest.raises(DataError, match=r"s3://maps/in/nothing/ holds no images"):
        find_sources(["s3://maps/in/nothing/"])


def test_other_stores_are_used_through_the_same_code(
    plan: BulkPlan, options: WorkOptions, plainly: dict[str, bytes], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SAT2MAP_CACHE", str(tmp_path / "cache"))
    few = BulkPlan(tuple(task for task in plan.tasks if task.window is None)[:2])
    names = sorted(task.output for task in few.tasks)
    for url in ("memory://maps-in-memory", f"file://{tmp_path}/a folder"):
        summary: BulkSummary = run_bulk(few, in_store(options, url))
        assert (summary.done, summary.left) == (2, 0)
        store = Store(url)
        assert {name: store.get(name) for name in names} == {name: plainly[name] for name in names}


def test_a_manifest_in_object_storage_begins_a_new_file_before_one_grows_large(
    stored: WorkOptions, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sat2map.bulk.manifest import Manifest

    monkeypatch.setattr("sat2map.bulk.manifest.MAX_LINES", 2)
    manifest = Manifest(tmp_path / "here", Store(stored.store))
    for number in range(5):
        manifest.add(TaskRecord(f"{number}.tif", "x", "empty"))
    manifest.put()
    contents = [content.count(b"\n") for content in objects(bucket).values()]
    assert sorted(contents) == [1, 2, 2]
    assert sorted(Manifest(tmp_path / "there", Store(stored.store)).read()) == [f"{n}.tif" for n in range(5)]


@pytest.mark.filterwarnings("ignore")
def test_two_ray_workers_put_what_one_process_makes_though_one_of_them_is_killed(
    plan: BulkPlan, stored: WorkOptions, bucket: Any, plainly: dict[str, bytes]
) -> None:
    pytest.importorskip("ray", reason="the ray extra is not installed")
    from sat2map.bulk.on_ray import RayBackend

    killed: list[int] = []

    def kill_one(record: TaskRecord | None, done: int, total: int) -> None:
        if record is not None and not killed:
            killed.append(record.process[1])
            os.kill(record.process[1], signal.SIGKILL)

    summary = run_bulk(plan, stored, backend=RayBackend("local", workers=2), progress=kill_one)
    assert (summary.done, summary.failed, summary.left) == (len(plan.tasks), (), 0)
    assert maps(bucket) == plainly
    assert killed[0] != os.getpid()
    assert not list(bucket.multipart_uploads.all())
