"""What all tests share: one thread, a cache folder, markers, and data that some machines have."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Sums in one number of threads repeat bit for bit, in the processes that tests start too. OpenMP reads the
# variable once, when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Markers of whole folders and files (the first parts of a path), so that `-m "not slow"` chooses among them.
MARKED = {
    "geo": (
        "geo",
        "bulk",
        "serve",
        "export/test_deepness.py",
        "images/test_fuzz.py",
        "images/test_masks.py",
        "images/test_one_picture.py",
        "images/test_samples.py",
        "images/test_shared_limits.py",
    ),
    "browser": (
        "serve/test_page.py",
        "serve/test_map_page.py",
        "serve/test_maplibre.py",
        "export/test_web.py",
    ),
    "slow": (
        "bulk/test_on_ray.py",
        "bulk/test_store.py",
        "docs",
        "export/test_export.py",
        "export/test_web.py",
        "serve/test_page.py",
        "training/test_distributed.py",
    ),
}
try:
    import hypothesis
except ImportError:  # the lowest versions are tested without it
    pass
else:  # the same examples in every run, at any speed, and none kept in the tree
    hypothesis.settings.register_profile(
        "repeatable",
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("repeatable")
SHARED_MAPS = Path(__file__).parents[2] / "shared" / "data" / "maps"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(Path(__file__).parent)
        for marker, places in MARKED.items():
            if any(path.is_relative_to(place) for place in places):
                item.add_marker(marker)


@pytest.fixture
def make_disk() -> Iterator[Callable[[Path, str], Path]]:
    """A function that mounts a disk of some size at a new folder, such as 256k."""
    disks: list[Path] = []

    def make(disk: Path, size: str) -> Path:
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        if (
            shutil.which("mount") is None
            or subprocess.run(command, capture_output=True, check=False).returncode
        ):
            pytest.skip("making a small disk needs the right to mount one")
        disks.append(disk)
        return disk

    yield make
    for disk in disks:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)  # the networks here are too small to share, and others may be running


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAT2MAP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium of this machine, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    path = next((path for path in found if path), None)
    if path is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        new_context = browser.new_context

        def patient(**options: Any) -> Any:
            context = new_context(**options)
            context.set_default_timeout(180_000)  # ms; it ends a hang, also on a machine as busy as can be
            return context

        browser.new_context = patient
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which looks for barriers on a page."""
    script = Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe-core is not installed: npm ci")
    return script.read_text("utf-8")


@pytest.fixture(scope="session")
def maps_data() -> Path:
    """The `maps` data set: train/, val/ and layout.csv. It is not ours to give away with the tests."""
    if not (SHARED_MAPS / "layout.csv").is_file():
        pytest.skip("the maps data set of the pix2pix paper is not on this machine")
    return SHARED_MAPS
