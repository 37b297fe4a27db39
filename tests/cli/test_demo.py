"""The demo, cut down to a few towns and steps: what it leaves, what a second reuses, how it is stopped."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from sat2map.cli import demo as module
from sat2map.cli.demo import run_demo
from sat2map.errors import RunError
from sat2map.images.pixels import read_image

pytestmark = pytest.mark.slow
Demo = Callable[..., tuple[Path, str]]


@pytest.fixture
def printed() -> list[io.StringIO]:
    """Return what each demo printed, that of one that was stopped too."""
    return []


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: list[io.StringIO]) -> Demo:
    """Run a demo of eight towns of 64 px, for three seconds; returns its folder and what it printed."""
    monkeypatch.setattr(module, "PAIRS", 8)
    monkeypatch.setattr(module, "SIZE", 64)
    monkeypatch.setattr(module, "SCENE_SIZE", 96)

    def run(**values: object) -> tuple[Path, str]:
        told = io.StringIO()
        console = Console(file=told, width=200)
        printed.append(told)
        run_demo(tmp_path / "demo", **{"seed": 0, "minutes": 0.05, "console": console, **values})  # type: ignore[arg-type]
        return tmp_path / "demo", told.getvalue()

    return run


def test_a_demo_ends_with_a_picture_a_report_and_three_commands(demo: Demo) -> None:
    folder, told = demo()
    with Image.open(folder / "scene-map.png") as picture:
        assert picture.width > 3 * 96
    assert "A scene, translated" in (folder / "report.html").read_text("utf-8")
    assert len(re.findall(r"\n  \S*sat2map ", told.partition("next, ")[2])) == 3
    done = json.loads((folder / "run" / "metrics.jsonl").read_text("utf-8").splitlines()[-1])["epoch"]
    assert ("so its maps will be poor" in told) == (2 * done < 15)  # the preset's epochs


def test_a_second_demo_trains_no_second_model(demo: Demo) -> None:
    folder, _ = demo()
    first = (folder / "run" / "best.safetensors").stat().st_mtime_ns
    _, told = demo()
    assert "holds an earlier demo" in told
    assert (folder / "run" / "best.safetensors").stat().st_mtime_ns == first


def test_a_demo_of_another_seed_replaces_the_earlier_one(demo: Demo) -> None:
    folder, _ = demo()
    before = read_image(folder / "scene.png").pixels
    demo(seed=1)
    assert (read_image(folder / "scene.png").pixels != before).any()


def test_ctrl_c_while_it_trains_ends_the_demo_and_the_next_one_goes_on(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, printed: list[io.StringIO]
) -> None:
    import signal

    from sat2map.training.progress import Display

    advance = Display.advance

    def stop_at_the_second(self: Display, step: int) -> None:
        advance(self, step)
        if step == 2:
            # Not raised: where no handler is installed, a real one ends the worker of the tests.
            handler = signal.getsignal(signal.SIGINT)
            assert callable(handler)
            handler(signal.SIGINT, None)

    with monkeypatch.context() as patch:
        patch.setattr(Display, "advance", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            demo(minutes=9)
    assert "goes on from here" in printed[0].getvalue()
    assert not (tmp_path / "demo" / "evaluation.json").exists()
    with monkeypatch.context() as patch:
        steps: list[int] = []
        patch.setattr(Display, "advance", lambda self, step: steps.append(step))
        demo(minutes=9)
    assert steps[0] == 3


def test_ctrl_c_while_it_draws_pairs_says_how_to_go_on(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, printed: list[io.StringIO]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sat2map.synthetic.towns.write_towns", stop)
        with pytest.raises(KeyboardInterrupt):
            demo()
    assert "goes on from here" in printed[0].getvalue()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="is not an earlier demo"):
        run_demo(tmp_path, seed=0, console=Console(quiet=True))
    assert (tmp_path / "mine.txt").read_text() == "mine"
