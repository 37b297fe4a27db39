"""Tests of README and docs: every command and snippet runs, in order, in a folder that has what it names.

Trainings are cut down to a few steps of a tiny network. What cannot run here is listed in `NOT_RUN` with the
reason; of commands of ours in that list the words are still read.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

import sat2map
from sat2map.cli import parsing
from sat2map.cli.main import main
from sat2map.images.palette import Palette
from sat2map.models.architectures.blocks import init_weights
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader, save_model
from sat2map.settings import TrainSettings, replace
from sat2map.synthetic.towns import write_towns
from sat2map.training import estimate, loop

ROOT = Path(__file__).parents[2]
PAGES = [path.relative_to(ROOT) for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]

NOT_RUN = {
    r"((python -m )?pip|python -m venv|source) ": "installs",
    r"make ": "is the suite itself, the demo or a benchmark",
    r"sat2map demo": "trains for minutes; test_wheel runs it",
    r"sat2map (data download|push)\b": "needs a network; tests/data and tests/models/hub run it",
    r"sat2map translate \S*https?://": "needs imagery from a service; tests/geo/test_my_town.py runs it",
    r"sat2map .*hf://": "needs a network; tests/models/hub runs it against a stand-in",
    r"hf ": "asks for a password",
    r"sat2map serve\b": "runs until it is stopped; tests/serve runs it",
    r"(curl|docker|qgis|tensorboard|torchrun|kubectl|uvicorn|locust) ": "another program",
    r"(gdal\w*|ogr\w*|rio|ray|sbatch|srun) ": "another program",
    r"sat2map export .*--to web": "needs ONNX Runtime for browsers; tests/export/test_web.py runs it",
    r"python -m (http\.server|sat2map\.export\.web_runtime)": "runs until it is stopped; downloads",
    r"sat2map export .*int8": "calibrates for a minute; tests/export runs it",
    r"sat2map (bulk|tiles|data rasters|data osm|data from-rasters)\b": "needs rasters; its own tests run it",
    r"sat2map evaluate --map\b": "needs a map and its ground; tests/test_assess.py runs it",
    r"python -m (build|zipfile)|\.ci/": "builds; test_wheel does",
    r"python -m benchmarks": "measures for minutes",
    r"\w+='?\$": "the shell's own",
    r"(cd|git|mkdir|export|ls|cat|for|done|do|wait|#) ?": "the shell's own",
}
PYTHON_NOT_RUN = {"docs/service.md": "talks to a running service; tests/serve runs it"}
if "gsd" not in sat2map.Translator.__call__.__annotations__:
    PYTHON_NOT_RUN |= dict.fromkeys(("README.md", "docs/developer.md", "docs/tutorial.md", "docs/hub.md"), "")

TINY: dict[str, Any] = {
    "image_size": 32,
    "load_size": 32,
    "crop_size": 32,
    "width": 4,
    "depth": 3,
    "discriminator_width": 4,
    "discriminator_layers": 2,
    "epochs": 1,
    "batch_size": 2,
    "workers": 1,
    "validate_every": 1,
}


class Block(NamedTuple):
    """A fenced block: its language and text."""

    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    text = (ROOT / page).read_text("utf-8")
    found = re.findall(r"^ *```(\w+)[^\n]*\n(.*?)^ *```$", text, flags=re.M | re.S)
    # A script of its own, for a scheduler, is no command.
    return [Block(language, content) for language, content in found if not content.startswith("#!")]


def commands_of(block: Block) -> list[list[str]]:
    """Split a shell block into commands, joined over backslashes, without comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line.lstrip("$ "), comments=True))]


def reason_not_to_run(words: list[str]) -> str | None:
    line = shlex.join(words) + " "
    return next((reason for pattern, reason in NOT_RUN.items() if re.match(pattern, line)), None)


def write_model(path: Path) -> None:
    palette = Palette.load("maps")
    spec = GeneratorSpec(width=4, depth=3, classes=len(palette.classes))
    torch.manual_seed(0)
    network = build_generator(spec)
    init_weights(network)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = ModelHeader(generator=spec, image_size=32, palette=palette, gsd=1.0)
    save_model(path, network.state_dict(), header)


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_checkpoint(path: Path) -> None:
    """Write a checkpoint as pytorch-CycleGAN-and-pix2pix does."""
    from sat2map.export.pth import export_cyclegan

    spec = GeneratorSpec(architecture="resnet6", width=4, norm="instance")
    save_model(path.with_suffix(".tmp"), build_generator(spec).state_dict(), ModelHeader(generator=spec))
    export_cyclegan(path.with_suffix(".tmp"), path)


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towns")
    write_towns(folder, count=8, size=32, val_fraction=0.25, gsd=2.1)
    return folder


@pytest.fixture
def desk(tmp_path: Path, towns: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run snippets in, where a training is short and may replace an earlier one."""

    def shortened(settings: TrainSettings) -> TrainSettings:
        kept = {"depth": None} if settings.network.generator == "global" else {}
        return replace(settings, **{**TINY, **kept})

    real_train, real_dry_run = loop.train, estimate.dry_run

    def train(settings: TrainSettings, **options: Any) -> loop.TrainResult:
        shutil.rmtree(settings.output.run, ignore_errors=True)
        return real_train(shortened(settings), **options)

    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr(estimate, "dry_run", lambda settings, **o: real_dry_run(shortened(settings), **o))
    monkeypatch.setattr("sat2map.evaluation.report.write_run_report", lambda run: run / "report.html")
    for module in ("sat2map.models.bundled", "sat2map.models.model"):
        monkeypatch.setattr(f"{module}.bundled_model", lambda: tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(towns, tmp_path / "pairs")
    for name in ("photo.png", "photo.jpg", "aerial.png", "ortho.tif"):
        write_picture(tmp_path / name)
    write_model(tmp_path / "model.safetensors")
    torch.save(_weights(tmp_path / "model.safetensors"), tmp_path / "best.pth")
    return tmp_path


def _weights(model: Path) -> dict[str, torch.Tensor]:
    from sat2map.models.model_file import read_weights

    return read_weights(model)


def write_data(path: Path, towns: Path) -> None:
    """Write a data set, or a CSV of one with a group each."""
    if path.suffix != ".csv":
        shutil.copytree(towns, path, dirs_exist_ok=True)
        return
    pairs = sorted(towns.glob("*/*"))
    rows = [f"{pair},{pair.parent.name},{pair.stem}" for pair in pairs]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["file,split,group", *rows]) + "\n", "utf-8")


def lay_out(words: list[str], towns: Path) -> None:
    """Put what a command names where it names it, unless an earlier command has."""
    made = {
        words[words.index(flag) + 1]
        for flag in ("--to", "--output", "--run", "--report")
        if flag in words[:-1]
    }
    for before, word in zip(["", *words], words, strict=False):
        path = Path(word)
        if before == "--data" or (words[1:3] == ["data", before] and before != "synth"):
            write_data(path, towns)
        if path.exists() or word in made or word.startswith("-"):
            continue
        if path.suffix == ".safetensors":
            write_model(path)
        elif path.suffix == ".pth":
            write_checkpoint(path)
        elif words[1] == "translate" and before == "translate":
            write_picture(path if path.suffix else path / "1.png")


def run_command(words: list[str], towns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    while "=" in words[0] and reason_not_to_run(words) is None:
        name, _, value = words.pop(0).partition("=")
        if name != "PYTHON":
            monkeypatch.setenv(name, value)
    words[0] = words[0].removeprefix(".venv/bin/")
    reason = reason_not_to_run(words)
    if reason is None:
        assert words[0] == "sat2map", f"nothing says how to run {shlex.join(words)}: list it in NOT_RUN"
        lay_out(words, towns)
        for output in ("maps", *(words[i + 1] for i, word in enumerate(words) if word == "--output")):
            if words[1] == "translate":  # a page may show it in several ways
                shutil.rmtree(output, ignore_errors=True)
                Path(output).unlink(missing_ok=True)
        if ">" in words:
            words, (file,) = words[: words.index(">")], words[words.index(">") + 1 :]
            with Path(file).open("w", encoding="utf-8") as stdout, redirect_stdout(stdout):
                main(words[1:])
        else:
            main(words[1:])
    elif words[0] == "sat2map":
        read_only(words[1:], monkeypatch)


def read_only(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the words of a command as it would, and leave it at that."""
    real = parsing.parse

    def parse(name: str, arguments: Sequence[str]) -> parsing.Invocation:
        return real(name, arguments)._replace(call=lambda: None)

    with monkeypatch.context() as patch:
        patch.setattr(parsing, "parse", parse)
        main(words)


@pytest.mark.parametrize("page", PAGES, ids=str)
@pytest.mark.filterwarnings("ignore::UserWarning:matplotlib")
def test_all_that_a_page_shows_runs(
    page: Path, desk: Path, towns: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    names: dict[str, Any] = {"__name__": "snippet"}
    for block in blocks_of(page):
        if block.language in ("sh", "bash", "shell"):
            for words in commands_of(block):
                try:
                    run_command(words, towns, monkeypatch)
                except SystemExit as stop:
                    printed = capsys.readouterr()
                    pytest.fail(f"{shlex.join(words)} ended with {stop.code}: {printed.err or printed.out}")
        elif block.language == "toml" and (name := re.match(r"# ([\w.-]+\.toml)\n", block.text)):
            Path(name[1]).write_text(block.text, "utf-8")
        elif block.language == "python" and page.as_posix() not in PYTHON_NOT_RUN:
            for name in re.findall(r'"([\w./-]+\.safetensors)"', block.text):
                if not Path(name).exists():
                    write_model(Path(name))
            exec(compile(block.text, f"{page}, a snippet", "exec", dont_inherit=True), names)
        assert Path.cwd() == desk


def test_the_list_of_what_is_not_run_has_nothing_that_no_page_shows_any_more() -> None:
    stale = [page for page in PYTHON_NOT_RUN if (ROOT / page).exists() and not blocks_of(Path(page))]
    assert stale == []


def test_a_snippet_that_is_wrong_is_found(desk: Path, towns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (
        "sat2map info --nonsense",
        "sat2map nonsense",
        "sat2map evaluate --data pairs --model pairs",
    ):
        with pytest.raises(SystemExit):
            run_command(shlex.split(line), towns, monkeypatch)
    with pytest.raises((SystemExit, AssertionError)):
        run_command(["sat2map", "demo", "--nonsense"], towns, monkeypatch)
    with pytest.raises(AssertionError, match="nothing says how to run"):
        run_command(["frobnicate", "now"], towns, monkeypatch)
    assert os.getcwd() == str(desk)  # noqa: PTH109 - what the shell would say
