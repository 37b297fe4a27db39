"""Tests of sat2map.cli: every command, and every bad input, through the real command."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from sat2map.cli import parsing
from sat2map.cli.commands import COMMANDS
from sat2map.cli.main import main
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader, save_model
from sat2map.settings import preset_names
from sat2map.synthetic.towns import write_towns

_TINY = """
    --image-size 32 --load-size 32 --crop-size 32 --width 4 --depth 3 --discriminator-width 4
    --discriminator-layers 2 --batch-size 2 --epochs 2 --device cpu --precision fp32
"""
TINY = _TINY.split()


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def sat2map(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run the command in this process."""

    def run(*words: object) -> Result:
        code: object = 0
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code or 0
        assert isinstance(code, int)
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(sat2map: Callable[..., Result]) -> Callable[..., str]:
    """Run a command that must fail with code 2 and one line; return the line."""

    def run(*words: object) -> str:
        result = sat2map(*words)
        assert result.code == 2, result
        lines = result.err.splitlines()
        assert len(lines) == 1, result.err
        assert lines[0].startswith("sat2map: ")
        assert "Traceback" not in result.err
        return lines[0]

    return run


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towns")
    write_towns(folder, count=8, size=32, val_fraction=0.25, gsd=2.1)
    return folder


@pytest.fixture
def pairs(towns: Path, tmp_path: Path) -> Path:
    """A copy of the pairs that a test may spoil."""
    return Path(shutil.copytree(towns, tmp_path / "pairs"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    spec = GeneratorSpec(width=4, depth=3, classes=2)
    network = build_generator(spec).requires_grad_(False)
    for _ in range(20):
        network(torch.rand(2, 3, 32, 32) * 2 - 1)
    path = tmp_path_factory.mktemp("model") / "best.safetensors"
    save_model(path, network.state_dict(), ModelHeader(generator=spec, image_size=32, scores={"l1": 7.5}))
    return path


def draw(path: Path, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Path:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def content_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --help


def run_child(code: str) -> tuple[str, set[str]]:
    """Run code in a new process; return what it printed, and the modules it imported."""
    code = f"import sys\ntry:\n    {code}\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout, set(done.stderr.split())


HELP = "from sat2map.cli.main import main; main(['--help'])"
HEAVY = {"torch", "numpy", "PIL", "scipy", "matplotlib", "rasterio", "fastapi", "onnxruntime", "openvino"}


def test_the_main_help_names_every_command_and_imports_no_parser_and_nothing_heavy() -> None:
    out, modules = run_child(HELP)
    assert all(name in out for name in COMMANDS)
    assert "sat2map.cli.main" in modules
    assert modules.isdisjoint(HEAVY | {"cyclopts", "pydantic", "rich"})


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_imports_nothing_heavy(name: str) -> None:
    _, modules = run_child(f"from sat2map.cli.main import main; main([*{name.split()!r}, '--help'])")
    assert modules.isdisjoint(HEAVY)


def test_the_check_of_help_would_see_an_import_of_torch() -> None:
    assert "torch" in run_child(f"import torch; {HELP}")[1] & HEAVY


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_has_its_summary_and_examples(
    sat2map: Callable[..., Result], name: str
) -> None:
    result = sat2map(*name.split(), "--help")
    assert result.code == 0
    assert COMMANDS[name].summary in " ".join(result.out.split())
    assert "Examples:" in result.out
    assert f"sat2map {name}" in result.out.partition("Examples:")[2]


@pytest.mark.parametrize("words", ["help train", "help data check", "train -h"])
def test_help_of_a_command_is_reached_in_several_ways(sat2map: Callable[..., Result], words: str) -> None:
    name = words.replace("help ", "").replace(" -h", "")
    assert sat2map(*words.split()).out == sat2map(*name.split(), "--help").out


def test_no_help_shows_python_types_or_old_flags(sat2map: Callable[..., Result]) -> None:
    for name, command in COMMANDS.items():
        out = sat2map(*name.split(), "--help").out
        for text in ("None", "PosixPath", "Literal", "tuple[", *(f"{old} " for old in command.renamed)):
            assert text not in out, (name, text)


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_no_command_at_all_lists_them(sat2map: Callable[..., Result], words: list[str]) -> None:
    result = sat2map(*words)
    assert result.code == 0
    assert "Usage: sat2map COMMAND" in result.out


@pytest.mark.parametrize("words", [["data"], ["data", "--help"], ["data", "-h"]])
def test_data_alone_lists_its_commands(sat2map: Callable[..., Result], words: list[str]) -> None:
    result = sat2map(*words)
    assert result.code == 0
    assert "data check" in result.out
    assert "translate" not in result.out


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_printed(sat2map: Callable[..., Result], flag: str) -> None:
    assert sat2map(flag).out.startswith("sat2map 0.")


def test_the_help_of_train_shows_every_setting_with_the_default_of_the_recipe(
    sat2map: Callable[..., Result],
) -> None:
    assert (
        "(default: 32)" in " ".join(sat2map("train", "rgb", "--help").out.split("--width")[1].split())[:100]
    )
    assert (
        "(default: 64)" in " ".join(sat2map("train", "paper", "--help").out.split("--width")[1].split())[:100]
    )


# words that fit nothing


def test_the_help_shows_pairs_of_numbers_as_one_types_them(sat2map: Callable[..., Result]) -> None:
    text = " ".join(sat2map("train", "--help").out.split())
    assert "--scale-jitter X X " in text
    assert "(default: 0.667 1.556)" in text


@pytest.mark.parametrize(
    ("words", "near"), [("trian", "train"), ("transalte", "translate"), ("data chek", "data check")]
)
def test_an_unknown_command_names_the_nearest(refused: Callable[..., str], words: str, near: str) -> None:
    assert f"'{words}': did you mean '{near}'?" in refused(*words.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("train tiny --batch-sise 3", "unknown option '--batch-sise': did you mean '--batch-size'?"),
        ("train tiny --batch-sise=3", "unknown option '--batch-sise': did you mean '--batch-size'?"),
        ("train --direction a2b", "--direction"),
        ("train tiny --batch-size many", "--batch-size"),
        ("train tiny --batch-size", "--batch-size"),
        ("train tini", "no preset is called 'tini', did you mean 'tiny'?"),
        ("train --epochs 3 tini", "no preset is called 'tini', did you mean 'tiny'?"),
        ("train nowhere.toml", "nowhere.toml"),
        ("translate a.png --overwite", "unknown option '--overwite': did you mean '--overwrite'?"),
        ("translate", "nothing to translate"),
        ("evaluate", "--data"),
        ("train tiny --batch-size 0", "batch_size = 0"),
        ("train tiny --epochs -1", "epochs = -1"),
        ("train rgb --crop-size 512", "crop_size 512 is larger than load_size 256"),
        ("train tiny --learning-rate nan", "--learning-rate nan: must be a finite number"),
        ("train tiny --palette mapz", "did you mean 'maps'?"),
        ("train tiny --resume nowhere", "tiny"),
        ("train --resume nowhere --seed 3", "leave out --seed"),
        ("train --resume nowhere", "nowhere is not the folder of a run"),
    ],
)
def test_words_that_do_not_fit_are_refused_in_one_line(
    refused: Callable[..., str], words: str, told: str
) -> None:
    assert told in refused(*words.split())


def test_an_unknown_setting_in_a_toml_file_names_file_setting_and_nearest(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text("bach_size = 3\n")
    told = refused("train", tmp_path / "mine.toml")
    assert "mine.toml: unknown setting 'bach_size', did you mean 'batch_size'?" in told


def test_a_recipe_counts_wherever_it_stands(
    sat2map: Callable[..., Result], towns: Path, tmp_path: Path
) -> None:
    for words in (["rgb", "--data", towns], ["--data", towns, "rgb"]):
        result = sat2map(
            "train", *words, *TINY[2:], "--image-size", 32, "--dry-run", "--run", tmp_path / "run"
        )
        assert result.code == 0, result
    wide = [word for word in TINY if word not in ("--width", "4")]
    first = sat2map("train", "rgb", "--data", towns, *wide, "--dry-run", "--run", tmp_path / "run").out
    second = sat2map("train", "--data", towns, *wide, "--dry-run", "--run", tmp_path / "run", "rgb").out
    parameters = [line for line in first.splitlines() if line.startswith("parameters")]
    assert parameters == [line for line in second.splitlines() if line.startswith("parameters")]


# data that cannot be used


def spoil(name: str) -> Callable[[Path], str]:
    """Return the function of that name below: it spoils a data set and returns what the error must name."""
    found: Callable[[Path], str] = globals()[f"with_{name}"]
    return found


def with_a_missing_folder(pairs: Path) -> str:
    shutil.rmtree(pairs)
    return f"{pairs} does not exist"


def with_nothing_in_it(pairs: Path) -> str:
    shutil.rmtree(pairs)
    pairs.mkdir()
    return f"{pairs} holds no pairs"


def with_a_truncated_jpeg(pairs: Path) -> str:
    path = draw(pairs / "train" / "cut.jpg", (64, 32))
    path.write_bytes(path.read_bytes()[:600])
    return str(path)


def with_a_text_named_png(pairs: Path) -> str:
    (pairs / "train" / "notes.png").write_text("this is no image")
    return str(pairs / "train" / "notes.png")


def with_mixed_sizes(pairs: Path) -> str:
    return str(draw(pairs / "train" / "larger.png", (128, 64)))


def with_one_pixel(pairs: Path) -> str:
    return str(draw(pairs / "train" / "dot.png", (2, 1)))


BAD_DATA = sorted(name.removeprefix("with_") for name in globals() if name.startswith("with_"))


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize("how", BAD_DATA)
def test_data_that_cannot_be_used_are_refused_by_name_and_nothing_is_lost(
    refused: Callable[..., str], pairs: Path, tmp_path: Path, model: Path, how: str, command: str
) -> None:
    told = spoil(how)(pairs)
    before = content_of(tmp_path)
    if command == "train":
        line = refused("train", "rgb", "--data", pairs, "--run", tmp_path / "run", *TINY)
    else:
        line = refused("evaluate", "--model", model, "--data", pairs, "--split", "train", "--device", "cpu")
    assert told in line
    assert content_of(tmp_path) == before
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_images_that_are_no_pairs_are_left_out_by_name(
    sat2map: Callable[..., Result], pairs: Path, tmp_path: Path, model: Path, command: str
) -> None:
    draw(pairs / "train" / "odd.png", (65, 32))
    draw(pairs / "train" / "square.png", (32, 32))
    if command == "train":
        result = sat2map("train", "rgb", "--data", pairs, "--run", tmp_path / "run", *TINY)
    else:
        words = ["--model", model, "--data", pairs, "--split", "train", "--device", "cpu"]
        result = sat2map("evaluate", *words)
    assert result.code == 0, result
    told = " ".join((result.out + result.err).split())
    assert "2 files are left out: train/odd.png is 65×32 px" in told


@pytest.mark.parametrize("how", [how for how in BAD_DATA if how != "mixed_sizes"])
def test_images_that_cannot_be_translated_are_refused_by_name_and_nothing_is_lost(
    refused: Callable[..., str], pairs: Path, tmp_path: Path, model: Path, how: str
) -> None:
    told = spoil(how)(pairs).split(" ")[0]
    bad = Path(told) if Path(told).is_file() else pairs
    before = content_of(tmp_path)
    line = refused("translate", bad, "--model", model, "--output", tmp_path / "maps", "--device", "cpu")
    assert told in line
    assert content_of(tmp_path) == before


def test_a_crop_larger_than_the_image_is_refused(
    refused: Callable[..., str], towns: Path, tmp_path: Path
) -> None:
    line = refused("train", "rgb", "--data", towns, "--run", tmp_path / "run", "--crop-size", 288)
    assert "crop_size 288 is larger than load_size 256: lower crop_size to 256 or raise load_size" in line


def test_a_dry_run_refuses_bad_data_too(refused: Callable[..., str], pairs: Path, tmp_path: Path) -> None:
    told = with_a_truncated_jpeg(pairs)
    assert told in refused("train", "rgb", "--data", pairs, "--run", tmp_path / "run", *TINY, "--dry-run")


# model files that cannot be used


def test_a_truncated_model_file_is_refused_by_name(
    refused: Callable[..., str], model: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    image = draw(tmp_path / "a.png")
    for words in (["translate", image, "--model"], ["info"], ["evaluate", "--data", tmp_path, "--model"]):
        assert f"{cut} is not a model file, or a truncated one" in refused(*words, cut)


def test_a_model_file_of_another_program_is_refused_by_name(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    save_file({"weight": torch.ones(3)}, tmp_path / "other.safetensors", {"format": "pt"})
    assert "file of another program" in refused(
        "translate", draw(tmp_path / "a.png"), "--model", tmp_path / "other.safetensors"
    )


def test_a_pickled_checkpoint_is_refused_by_name(refused: Callable[..., str], tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(3)}, tmp_path / "net_G.pth")
    assert "net_G.pth is a pickled checkpoint" in refused("info", tmp_path / "net_G.pth")


def test_a_missing_model_file_is_refused_by_name(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "gone.safetensors does not exist" in refused("info", tmp_path / "gone.safetensors")


# a full disk


@pytest.fixture
def small_disk(make_disk: Callable[[Path, str], Path], tmp_path: Path) -> Path:
    """A disk of 256 KiB."""
    return make_disk(tmp_path / "disk", "256k")


def test_translating_onto_a_full_disk_keeps_the_map_that_was_there(
    refused: Callable[..., str], small_disk: Path, model: Path, tmp_path: Path
) -> None:
    image = draw(tmp_path / "a.png", (600, 500))
    (small_disk / "a.png").write_bytes(b"the map of last year")
    words = ["translate", image, "--model", model, "--output", small_disk, "--overwrite", "--device", "cpu"]
    assert f"the disk is full: {small_disk / 'a.png'} was not written" in refused(*words)
    assert content_of(small_disk) == {"a.png": hashlib.sha256(b"the map of last year").hexdigest()}


def test_training_on_a_full_disk_stops_in_words_and_can_be_resumed(
    refused: Callable[..., str], sat2map: Callable[..., Result], small_disk: Path, towns: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(100_000))
    words = ["train", "rgb", "--data", towns, "--run", small_disk / "run", *TINY]
    told = sat2map(*words)
    assert told.code == 2
    assert "the disk is full" in told.err.splitlines()[-1]
    assert "Traceback" not in told.err
    ballast.unlink()
    assert not list((small_disk / "run").glob(".*"))
    shutil.copytree(small_disk / "run", towns.parent / "more room", dirs_exist_ok=True)
    assert sat2map("train", "--resume", towns.parent / "more room").code == 0


def test_exporting_onto_a_full_disk_keeps_the_file_that_was_there(
    refused: Callable[..., str], small_disk: Path, model: Path
) -> None:
    (small_disk / "best.pth").write_bytes(b"x" * 250_000)
    words = ["export", model, "--to", "pth", "--output", small_disk / "best.pth", "--overwrite"]
    assert "the disk is full" in refused(*words)
    assert (small_disk / "best.pth").read_bytes() == b"x" * 250_000


# what the commands do


def test_a_dry_run_prints_parameters_memory_and_time_and_leaves_the_run_folder_alone(
    sat2map: Callable[..., Result], towns: Path, tmp_path: Path
) -> None:
    result = sat2map("train", "rgb", "--data", towns, "--run", tmp_path / "run", *TINY, "--dry-run")
    assert result.code == 0, result
    for word in ("parameters:", "memory:", "time:", "6 to train on, 2 to validate on", "6 steps"):
        assert word in result.out
    assert not (tmp_path / "run").exists()


def test_train_evaluate_and_translate_work_one_after_the_other(
    sat2map: Callable[..., Result], towns: Path, tmp_path: Path
) -> None:
    run, photo = tmp_path / "run", draw(tmp_path / "photo.png", (50, 33))
    trained = sat2map("train", "rgb", "--data", towns, "--run", run, *TINY)
    assert trained.code == 0, trained
    assert f"next:        sat2map evaluate --model {run / 'best.safetensors'} --data {towns}" in trained.out
    scored = sat2map("evaluate", "--model", run / "best.safetensors", "--data", towns, "--device", "cpu")
    assert scored.code == 0, scored
    assert "constant" in scored.out
    words = ["--model", run / "best.safetensors", "--output", tmp_path / "maps", "--device", "cpu"]
    translated = sat2map("translate", photo, *words)
    assert translated.code == 0, translated
    with Image.open(tmp_path / "maps" / "photo.png") as image:
        assert image.size == (50, 33)


def test_a_resumed_run_names_its_own_data_for_the_next_step(
    sat2map: Callable[..., Result], towns: Path, tmp_path: Path
) -> None:
    assert sat2map("train", "rgb", "--data", towns, "--run", tmp_path / "run", *TINY).code == 0
    result = sat2map("train", "--resume", tmp_path / "run")
    assert result.code == 0, result
    assert f"--data {towns}" in result.out


def test_a_resumed_run_takes_its_data_from_where_they_are_now(
    sat2map: Callable[..., Result], pairs: Path, tmp_path: Path
) -> None:
    assert sat2map("train", "rgb", "--data", pairs, "--run", tmp_path / "run", *TINY).code == 0
    moved = pairs.rename(tmp_path / "moved")
    result = sat2map("train", "--resume", tmp_path / "run", "--data", moved)
    assert result.code == 0, result
    assert f"--data {moved}" in result.out


def test_a_bad_image_among_good_ones_is_told_and_the_others_are_written(
    sat2map: Callable[..., Result], model: Path, tmp_path: Path
) -> None:
    draw(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b[red].png").write_text("no image")  # which rich would take for a colour
    draw(tmp_path / "in" / "c.png")
    words = ["--model", model, "--output", tmp_path / "maps", "--device", "cpu"]
    result = sat2map("translate", tmp_path / "in", *words)
    assert result.code == 2
    assert "b[red].png is not an image" in result.err
    assert "2 of 3 maps written to" in result.out
    assert sorted(content_of(tmp_path / "maps")) == ["a.png", "c.png"]


def test_info_says_what_a_model_is(sat2map: Callable[..., Result], model: Path) -> None:
    result = sat2map("info", model)
    assert result.code == 0
    for word in (
        "U-Net (unet), width 4, depth 3, batch norm",
        "trained at 32 px",
        "l1 7.500",
        "a head for 2 classes",
    ):
        assert word in result.out


def test_export_does_not_replace_a_file_unasked(
    refused: Callable[..., str], model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "best.pth"
    output.write_text("mine")
    assert f"{output} exists" in refused("export", model, "--to", "pth", "--output", output)
    assert output.read_text() == "mine"


class Layer(nn.Module):
    """A convolution and its norm; with `UNet` what the README tells to use, written without the package."""

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y


class UNet(nn.Module):
    def __init__(self, width: int = 64, depth: int = 8, outputs: int = 3) -> None:
        super().__init__()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        c = [3] + [width * min(2**i, 8) for i in range(depth)]
        for i in range(depth):
            first, last = i == 0, i == depth - 1
            norm = nn.Identity() if first or last else nn.BatchNorm2d(c[i + 1])
            self.down.append(Layer(nn.Conv2d(c[i], c[i + 1], 4, 2, 1, bias=first or last), norm))
            inputs, out = c[i + 1] if last else 2 * c[i + 1], outputs if first else c[i]
            norm = nn.Identity() if first else nn.BatchNorm2d(out)
            self.up.append(Layer(nn.ConvTranspose2d(inputs, out, 4, 2, 1, bias=first), norm))

    def forward(self, x: Tensor) -> Tensor:
        skips = [self.down[0](x)]
        for layer in self.down[1:]:
            skips.append(layer(leaky_relu(skips[-1], 0.2)))
        x = self.up[-1](skips.pop().relu())
        for layer in reversed(self.up[:-1]):
            x = layer(torch.cat([x, skips.pop()], dim=1).relu())
        return x[:, :3].tanh()


def test_an_exported_state_dict_runs_with_torch_alone(
    sat2map: Callable[..., Result], model: Path, tmp_path: Path
) -> None:
    assert sat2map("export", model, "--to", "pth", "--output", tmp_path / "best.pth").code == 0
    weights = torch.load(tmp_path / "best.pth", weights_only=True)
    width, depth = len(weights["down.0.conv.weight"]), 1 + max(int(name.split(".")[1]) for name in weights)
    network = UNet(width, depth, outputs=len(weights["up.0.conv.bias"])).eval()
    network.load_state_dict(weights)

    from sat2map.models.model_file import read_header, read_weights

    ours = build_generator(read_header(model).generator).eval()
    ours.load_state_dict(read_weights(model))
    source = torch.rand(2, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(network(source), ours(source)[:, :3], atol=1e-6, rtol=0)


def test_the_presets_named_in_the_help_are_all_there(sat2map: Callable[..., Result]) -> None:
    told = sat2map("train", "--help").out
    assert all(name in told for name in preset_names())


@pytest.mark.parametrize("arguments", [["presets"], ["presets", "--help"], ["help", "presets"]])
def test_presets_alone_lists_each_preset_on_a_line(
    sat2map: Callable[..., Result], arguments: list[str]
) -> None:
    lines = sat2map(*arguments).out.splitlines()
    of_presets = lines[lines.index("Presets:") + 1 :][: len(preset_names())]
    assert {line.split()[0] for line in of_presets} == set(preset_names())
    assert all(len(line) < 100 and len(line.split()) > 3 for line in of_presets), of_presets
    assert "Train and score:" not in lines


def test_the_error_of_one_image_of_many_names_the_flag(
    sat2map: Callable[..., Result], model: Path, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        draw(tmp_path / "photos" / name)
    command = ("translate", tmp_path / "photos", "--model", model, "--output", tmp_path / "maps")
    result = sat2map(*command, "--page", 3)
    assert result.code == 2
    errors = [line for line in result.err.splitlines() if line.startswith("sat2map: ")]
    assert len(errors) == 2
    assert all("has no page 3" in line and line.endswith("(--page)") for line in errors), errors


@pytest.mark.geo
@pytest.mark.parametrize("command", ["translate", "bulk"])
def test_the_error_of_one_raster_of_many_names_the_flag(
    sat2map: Callable[..., Result], model: Path, tmp_path: Path, command: str
) -> None:
    rasterio = pytest.importorskip("rasterio", reason="the geo extra is not installed")

    place = rasterio.Affine(2, 0, 0, 0, -2, 0)
    about = {"driver": "GTiff", "width": 40, "height": 40, "dtype": "uint8", "crs": "EPSG:32633"}
    for name, bands in (("two.tif", 2), ("three.tif", 3)):
        path = tmp_path / name
        with rasterio.open(path, "w", count=bands, transform=place, **about) as raster:
            raster.write(np.random.default_rng(0).integers(1, 255, (bands, 40, 40)).astype(np.uint8))
    inputs = (tmp_path / "two.tif", tmp_path / "three.tif")
    result = sat2map(command, *inputs, "--model", model, "--output", tmp_path / "maps")
    assert result.code == 2
    (error,) = (line for line in result.err.splitlines() if line.startswith("sat2map: "))
    assert error.endswith("choose among them, repeating some (--bands)"), error


def test_fp16_on_a_cpu_is_refused_before_the_pairs_are_read(
    refused: Callable[..., str], towns: Path, tmp_path: Path
) -> None:
    told = refused(
        "train", "tiny", "--data", towns, "--run", tmp_path / "run", "--precision", "fp16", "--device", "cpu"
    )
    assert "fp16 trains on GPUs, and this training runs on the CPU" in told
    assert told.endswith("use bf16 or fp32 (--precision)")
    assert not (tmp_path / "run").exists()


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m sat2map --help | true; exit ${{PIPESTATUS[0]}}"
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine")
    done = subprocess.run([bash, "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_an_interruption_ends_with_130_and_no_traceback(
    sat2map: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parsing, "parse", interrupt)
    result = sat2map("info")
    assert (result.code, result.err) == (130, "")


def test_a_sentence_of_several_lines_is_told_in_one(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sat2map.errors import DataError

    def fail(*_: object, **__: object) -> None:
        raise DataError("first line\n   and second")

    monkeypatch.setattr(parsing, "parse", fail)
    assert refused("info") == "sat2map: first line and second"


def test_info_answers_without_numpy_the_parser_or_an_engine() -> None:
    code = (
        "import sys; from sat2map.cli.main import main; main(['info'])\n"
        "heavy = {'numpy', 'cyclopts', 'rich', 'onnxruntime', 'openvino', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "EfficientNet-Lite0" in done.stdout
