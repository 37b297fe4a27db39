from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sat2map.errors import RunError
from sat2map.evaluation import Evaluation, Example, ImageScores, Protocol, Row, save_examples
from sat2map.evaluation.report import (
    EVALUATION,
    EXAMPLES,
    write_demo_report,
    write_evaluation_report,
    write_run_report,
)
from sat2map.evaluation.report.charts import Chart, Line, line_chart
from sat2map.images.palette import Palette
from sat2map.images.pixels import read_image, write_image
from sat2map.installation import install_command
from sat2map.settings import load_settings

HOSTILE = '<script>alert("1")</script>&\'.png'
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Reads a report: which tags it has, what it refers to, what it says; fails where tags do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name in ("src", "href", "srcset", "data", "action", "poster"):
                self.references.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name == "alt":
                self.alts.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> without <{tag}>"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data


def _evaluation(palette: Palette | None = None, name: str = "tile") -> Evaluation:
    protocol = Protocol(
        sat2map="0.1", model=name, model_sha256="ab" * 32, steps=20, engine="a", inference_mode="eval",
        direction="source-to-target", palette=palette, data=name, data_fingerprint="cd", split="val",
        group_column="place", images=3, groups=3, size=64, constant_colour=(1, 2, 3), constant_from="train",
    )  # fmt: skip
    scores = {"l1": 7.654, "psnr": 23.456}
    if palette:
        scores |= {"mean_iou": 0.4321, "road_f1": 0.6789, **{f"iou_{c}": 0.1 for c in palette.names}}
    rows = (
        Row(name="model", scores=scores, intervals={"l1": (6.01, 9.02)}),
        Row(name="constant map", scores={name: value / 2 for name, value in scores.items()}),
    )
    images = tuple(ImageScores(name=name, group="g", scores=scores) for _ in range(3))
    classes = len(palette.names) if palette else 0
    confusion = tuple(tuple(3 if i == j else 1 for j in range(classes)) for i in range(classes))
    return Evaluation(protocol=protocol, rows=rows, images=images, confusion=confusion)


def _examples(evaluation: Evaluation) -> list[Example]:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return [
        Example(f"{kind} 1", image, picture, picture, picture)
        for kind, image in zip(("best", "median", "worst"), evaluation.images, strict=True)
    ]


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    def make(epochs: int = 3, folder: str = "first") -> Path:
        run = tmp_path / folder
        run.mkdir()
        settings = load_settings("default", data=Path("pairs"), run=run, epochs=3, batch_size=4)
        (run / "settings.json").write_text(settings.model_dump_json())
        lines = []
        for epoch in range(1, epochs + 1):
            losses = {"d_real": 0.3, "d_fake": 0.2, "l1": 0.1 / epoch, "g_adversarial": None}
            scores = {
                "l1": 12.0 - epoch,
                "psnr": 22.0,
                "mean_iou": 0.1 * epoch,
                "iou_road": 0.2,
                "road_f1": 0.3,
            }
            lines.append({"kind": "train", "step": 10 * epoch - 5, "epoch": epoch, **losses})
            lines.append({"kind": "validation", "step": 10 * epoch, "epoch": epoch, **scores})
            grid = np.random.default_rng(epoch).integers(0, 256, (60, 90, 3), np.uint8)
            write_image(run / "samples" / f"step-{10 * epoch:07d}.png", grid)
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (run / "best.safetensors").write_bytes(b"")
        return run

    return make


def _full_run(make_run: Callable[..., Path]) -> Path:
    run = make_run()
    evaluation = _evaluation(Palette.load("maps"))
    evaluation.save(run / EVALUATION)
    save_examples(run / EXAMPLES, _examples(evaluation))
    return run


def test_a_report_of_a_run_is_one_well_formed_file_that_needs_no_other(make_run):
    page = Page(write_run_report(_full_run(make_run)))

    assert page.references
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    assert {reference[1:] for reference in page.references if reference.startswith("#")} <= set(page.ids)
    assert "script" not in page.tags
    assert "@import" not in page.source
    assert "url(http" not in page.source


def test_no_id_comes_twice_and_every_picture_has_words(make_run):
    page = Page(write_run_report(_full_run(make_run)))

    assert len(page.ids) == len(set(page.ids))
    assert len(page.alts) == page.tags.count("img")
    assert all(page.alts)


def test_the_same_run_gives_the_same_bytes(make_run):
    run = _full_run(make_run)

    assert write_run_report(run).read_bytes() == write_run_report(run).read_bytes()


def test_a_report_holds_the_evaluation_when_the_run_has_one(make_run):
    page = Page(write_run_report(_full_run(make_run)))

    for words in ("0.432", "0.679", "7.65", "6.01–9.02", "constant map 0.216", "Best 1", "Worst 1"):
        assert words in page.text


def test_scores_of_an_earlier_model_are_called_so(make_run):
    assert "The scores below are of step 20" in Page(write_run_report(_full_run(make_run))).text


def test_a_run_without_evaluation_shows_the_best_validation(make_run):
    page = Page(write_run_report(make_run()))

    assert "0.300" in page.text
    assert "from epoch 3, step 30" in page.text


def test_settings_that_differ_come_first(make_run):
    text = Page(write_run_report(make_run())).text

    assert (
        text.index("batch_size") < text.index("Settings left at their defaults") < text.index("learning_rate")
    )


def test_every_kind_of_curve_is_drawn(make_run):
    page = Page(write_run_report(make_run()))

    assert page.tags.count("svg") == 6


def test_curves_and_confusion_of_a_run_lie_beside_its_report_as_png(make_run):
    run = make_run()
    (run / "confusion.csv").write_text("real map,land,road\nland,30,10\nroad,0,5\n")
    write_run_report(run)
    curves, confusion = (read_image(run / name).pixels for name in ("curves.png", "confusion.png"))
    assert min(*curves.shape[:2], *confusion.shape[:2]) > 200
    assert np.unique(curves.reshape(-1, 3), axis=0).shape[0] > 4  # several colours of lines on paper


def test_a_single_chart_takes_the_whole_width_of_the_picture(make_run):
    run = make_run()
    lines = [line for line in (run / "metrics.jsonl").read_text().splitlines() if "validation" not in line]
    kept = ({name: value for name, value in json.loads(line).items() if name[:2] != "d_"} for line in lines)
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    write_run_report(run)
    curves = read_image(run / "curves.png").pixels
    right_half = curves[:, curves.shape[1] // 2 :]
    assert (right_half.min(axis=2) < 200).any(axis=0).mean() > 0.9  # its axis runs through


@pytest.mark.parametrize("content", ["", '{"kind": "train", "step": 1, "epoch": 1, "l1": 0.5}\n{"kind": "va'])
def test_a_run_that_has_just_begun_has_a_report_too(make_run, content):
    run = make_run(epochs=0)
    (run / "metrics.jsonl").write_text(content)
    shutil.rmtree(run / "samples", ignore_errors=True)
    (run / "best.safetensors").unlink()

    page = Page(write_run_report(run))

    assert "No validation yet" in page.text
    assert f"sat2map train --resume {run}" in page.text


def test_without_matplotlib_the_report_is_written_and_says_what_is_missing(make_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.style", raising=False)

    page = Page(write_run_report(make_run()))

    assert f"The curves need matplotlib: {install_command('train')}" in page.text


def test_names_are_text_and_never_markup(make_run, tmp_path):
    evaluation = _evaluation(Palette.load("maps"), name=HOSTILE)
    run = make_run(folder="<b>&amp; $(run) 'it'")
    evaluation.save(run / EVALUATION)
    save_examples(run / EXAMPLES, _examples(evaluation))

    for path in (
        write_run_report(run),
        write_evaluation_report(evaluation, _examples(evaluation), tmp_path / "scores.html"),
    ):
        page = Page(path)
        assert "script" not in page.tags
        assert HOSTILE in page.text
    assert "Run <b>&amp; $(run) 'it'" in Page(run / "report.html").text


def test_a_report_of_an_evaluation_without_palette_has_no_classes(tmp_path):
    evaluation = _evaluation()

    page = Page(write_evaluation_report(evaluation, _examples(evaluation), tmp_path / "scores.html"))

    assert "Confusion" not in page.text
    assert "class scores are left out" in page.text
    assert "23.46" in page.text


def test_a_report_of_an_evaluation_shades_a_confusion_that_adds_up(tmp_path):
    page = Page(write_evaluation_report(_evaluation(Palette.load("maps")), [], tmp_path / "scores.html"))

    assert "Confusion" in page.text
    assert page.text.count("38 %") == 6  # 3 of 3 + 5 * 1
    assert page.text.count("12 %") == 30


def test_a_report_of_a_demo_shows_the_scene_first(make_run, tmp_path):
    black, grey, white = (np.full((40, 60, 3), level, np.uint8) for level in (0, 1, 2))
    scene = black, grey, white
    evaluation = _evaluation(Palette.load("maps"))

    page = Page(write_demo_report(tmp_path / "demo.html", run=make_run(), evaluation=evaluation, scene=scene))

    order = [page.text.index(words) for words in ("A scene, translated", "Scores", "Curves", "Next")]
    assert order == sorted(order)
    assert "60 x 40 px" in page.text
    assert page.alts[1] == "The map that the model drew"


def test_a_report_of_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not the folder of a run"):
        write_run_report(tmp_path)


def test_a_chart_has_ids_of_its_own_and_no_trace_of_when_it_was_drawn():
    lines = {"a": Line([1, 2], [1, None])}
    first, second = (line_chart(Chart(name, "A chart", "Of it.", "train", ()), lines) for name in "ab")

    assert first.startswith("<svg viewBox=")
    assert 'aria-label="A chart: Of it."' in first
    assert 'id="a-' in first
    assert 'id="a-' not in second
    assert "date" not in first.lower()
