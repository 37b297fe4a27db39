"""Tests of data sets in tar shards: packed whole, read in an order that is known, trained on and resumed."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file

from sat2map.data import stream
from sat2map.data.cache import open_pairs
from sat2map.data.pair_cache import PairFormat
from sat2map.data.pairs import find_pairs
from sat2map.data.shards import ShardIndex, ShardReader, find_index, pack, read_index
from sat2map.data.stream import ShardStream, open_shards
from sat2map.errors import DataError, OutputError
from sat2map.files import sha256_of
from sat2map.runtime import step_seed
from sat2map.settings import TrainSettings, load_settings
from sat2map.synthetic.towns import write_towns
from sat2map.training import epochs, loop
from sat2map.training.checkpoint import CHECKPOINT


@pytest.fixture(scope="module", params=["side-by-side", "folders"])
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pairs to train on and three to validate on."""
    folder = tmp_path_factory.mktemp("town")
    write_towns(folder, count=23, size=36, val_fraction=3 / 23, layout=request.param, gsd=2.1)
    return folder


@pytest.fixture(scope="module")
def packed(town: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in shards of three pairs: seven of them."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    pack(town, folder, pairs_a_shard=3)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAT2MAP_CACHE", str(tmp_path / "cache"))


def open_stream(folder: Path, seed: int = 0) -> ShardStream:
    index = find_index(folder)
    assert index is not None
    train, _ = open_shards(index, PairFormat(36), PairFormat(36), seed=seed, workers=1)
    return train


def rows_of(pixels: Any) -> list[bytes]:
    return sorted(row.tobytes() for row in pixels)


def test_an_epoch_sees_every_pair_once(town: Path, packed: Path) -> None:
    plain = open_pairs(find_pairs(town)["train"], PairFormat(36))
    train = open_stream(packed)
    assert len(train) == len(plain) == 20
    for epoch in range(2):
        assert rows_of(train.choose(epoch, range(20))) == rows_of(plain.pixels)


def test_the_order_follows_from_seed_and_epoch_alone(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "GROUP", 2)
    whole = open_stream(packed).choose(1, range(20))
    again = open_stream(packed)  # as after a restart: it starts in the middle
    np.testing.assert_array_equal(again.choose(1, range(11, 17)), whole[11:17])
    assert not np.array_equal(again.choose(2, range(20)), whole)
    assert not np.array_equal(open_stream(packed, seed=1).choose(1, range(20)), whole)


def test_processes_find_their_rows_by_themselves(packed: Path) -> None:
    whole = open_stream(packed).choose(0, range(4, 12))
    parts = [open_stream(packed).choose(0, range(4, 12)[part]) for part in (slice(0, 3), slice(3, 8))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_old_shards_make_room_on_the_disk(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "GROUP", 1)
    monkeypatch.setattr(stream, "KEPT_BYTES", 0)
    train = open_stream(packed)
    everything = rows_of(train.choose(0, range(20)))
    assert len(list((tmp_path / "cache").glob("*.npy"))) < 7
    assert rows_of(train.choose(0, range(20))) == everything


def test_a_shard_is_a_tar_file_as_webdataset_has_them(town: Path, packed: Path) -> None:
    index = read_index(packed / "shards.json")
    assert [shard.count for shard in index.splits["train"]] == [3, 3, 3, 3, 3, 3, 2]
    with tarfile.open(packed / index.splits["train"][0].name) as tar:
        names = tar.getnames()
    keys = [name.split(".")[0] for name in names]
    assert len(set(keys)) == 3
    assert keys == sorted(keys)  # the parts of a sample lie side by side
    sides = {name.split(".")[1] for name in names}
    assert sides in ({"pair"}, {"source", "target"})


def test_packing_twice_gives_the_same_files(town: Path, packed: Path, tmp_path: Path) -> None:
    again = pack(town, tmp_path / "again", pairs_a_shard=3)
    assert again == read_index(packed / "shards.json")


@pytest.fixture
def server(packed: Path) -> Iterator[str]:
    """The address of a server with the shards."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(packed))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def remote(packed: Path, folder: Path, base: str) -> Path:
    """Write an index alone, whose shards lie at an address."""
    index = read_index(packed / "shards.json").model_copy(update={"base": base})
    folder.mkdir()
    (folder / "shards.json").write_text(index.model_dump_json())
    return folder


def test_shards_come_from_a_server(packed: Path, server: str, tmp_path: Path) -> None:
    elsewhere = remote(packed, tmp_path / "remote", server)
    np.testing.assert_array_equal(
        open_stream(elsewhere).choose(0, range(20)), open_stream(packed).choose(0, range(20))
    )


def test_a_server_that_has_no_shards_is_told(
    packed: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sat2map.data.fetch.TRIES", 1)
    with pytest.raises(DataError, match=r"/no/val-000000.tar cannot be fetched: .*404"):
        open_stream(remote(packed, tmp_path / "remote", f"{server}/no/"))


def test_a_damaged_shard_is_told(packed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in packed.iterdir():
        content = path.read_bytes()
        (copy / path.name).write_bytes(content[:-600] if path.name == "train-000001.tar" else content)
    with pytest.raises(DataError, match=r"train-000001.tar is not the file that .* tells of"):
        open_stream(copy).choose(0, range(20))


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2, "splits": {}}', '{"splits": {"train": []}}'])
def test_a_damaged_index_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "shards.json").write_text(content)
    with pytest.raises(DataError, match=r"shards.json .*pack the data again"):
        open_stream(tmp_path)


def test_a_used_folder_is_not_packed_into(town: Path, packed: Path) -> None:
    with pytest.raises(OutputError, match="not empty"):
        pack(town, packed)


def test_strange_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as tar:
        about = tarfile.TarInfo("../evil.source.png")
        about.size = 1
        tar.addfile(about, io.BytesIO(b"x"))
    index = ShardIndex(splits={"train": [{"name": path.name, "count": 1, "sha256": sha256_of(path)}]})
    reader = ShardReader(tmp_path / "shards.json", "", PairFormat(36), 1)
    with pytest.raises(DataError, match="which is no part of a pair"):
        reader.open(index.splits["train"])


def tiny(data: Path, run: Path) -> TrainSettings:
    return load_settings(
        "rgb", data=data, run=run, image_size=32, load_size=36, crop_size=32, width=4, depth=3,
        discriminator_width=4, discriminator_layers=2, batch_size=3, epochs=2, validate_every=2, norm="group",
        ema=0.0, device="cpu", precision="fp32", workers=1, checkpoint_minutes=1e-9,
    )  # fmt: skip


def test_training_on_shards_is_resumed_at_the_sample(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sat2map.evaluation.report.write_run_report", lambda run: run)
    quiet = Console(file=io.StringIO())
    straight = tiny(packed, tmp_path / "straight")
    assert loop.train(straight, console=quiet).finished

    class Killed(BaseException): ...

    broken = tiny(packed, tmp_path / "broken")
    calls: list[int] = []
    original = step_seed

    def fatal(*which: Any) -> int:
        calls.append(1)
        if len(calls) == 5:
            raise Killed
        return original(*which)

    with monkeypatch.context() as patch:
        patch.setattr(epochs, "step_seed", fatal)
        with pytest.raises(Killed):
            loop.train(broken, console=quiet)
    assert loop.resume(broken.output.run, console=quiet).finished
    mine, theirs = (load_file(run / CHECKPOINT) for run in (broken.output.run, straight.output.run))
    assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)
