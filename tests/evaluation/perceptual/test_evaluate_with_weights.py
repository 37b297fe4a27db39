"""Tests of the command with weights: what it prints and writes, and how it refuses other files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sat2map.cli.main import main
from sat2map.evaluation.perceptual.published_weights import open_lpips
from sat2map.files import sha256_of
from sat2map.images.pixels import read_image
from sat2map.models.architectures.generators import build_generator
from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.models.model_file import ModelHeader, save_model

IMAGES = 4


@pytest.fixture
def evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `sat2map evaluate` on four pairs of noise, with a network of chance: exit code, output, errors."""
    spec = GeneratorSpec(width=4, depth=3)
    for name, seed in (("mine", 0), ("l1", 1)):
        torch.manual_seed(seed)
        weights = build_generator(spec).state_dict()
        save_model(tmp_path / f"{name}.safetensors", weights, ModelHeader(generator=spec, image_size=32))
    (tmp_path / "pairs" / "val").mkdir(parents=True)
    for i in range(IMAGES):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 64, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pairs" / "val" / f"{i}.png")

    def run(*words: object) -> tuple[int, str, str]:
        always = ["--data", tmp_path / "pairs", "--model", tmp_path / "mine.safetensors", "--device", "cpu"]
        try:
            main([str(word) for word in ("evaluate", *always, *words)])
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_the_scores_of_the_networks_stand_in_the_table_and_with_their_files_in_the_json(
    evaluate: Callable[..., tuple[int, str, str]], files: dict[str, Path], tmp_path: Path
) -> None:
    lpips = files["alexnet"], files["heads"]
    others = ("--against", tmp_path / "l1.safetensors")
    code, out, err = evaluate(
        "--inception", files["inception"], "--lpips", *lpips, *others, "--json", tmp_path / "scores.json"
    )  # fmt: skip

    assert (code, err) == (0, "")
    for heading in ("FID ↓", "KID ↓", "LPIPS ↓"):
        assert heading in out
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["protocol"]["metric_weights"] == [
        {"network": network, "file": file.name, "sha256": sha256_of(file), "published": False}
        for network, file in zip(
            ("FID's Inception", "AlexNet", "LPIPS's heads for AlexNet"),
            (files["inception"], *lpips),
            strict=True,
        )
    ]
    rows = {row["name"]: row["scores"] for row in found["rows"]}
    assert list(rows) == ["model", "l1", "constant map", "truth as JPEG"]
    assert all({"fid", "kid", "kid_std", "lpips"} <= scores.keys() for scores in rows.values())
    assert found["protocol"]["against"][0]["sha256"] == sha256_of(tmp_path / "l1.safetensors")
    assert rows["model"]["fid"] != rows["l1"]["fid"]

    # The constant map's LPIPS again, by hand.
    judge = open_lpips(*lpips, "cpu")
    constant = np.broadcast_to(np.array(found["protocol"]["constant_colour"], np.uint8), (32, 32, 3))
    targets = [read_image(tmp_path / "pairs" / "val" / f"{i}.png").pixels[:, 32:] for i in range(IMAGES)]
    by_hand = np.mean([judge.distance(constant, target) for target in targets])
    assert rows["constant map"]["lpips"] == pytest.approx(by_hand)


def test_a_file_of_another_network_ends_in_one_sentence_and_exit_code_2(
    evaluate: Callable[..., tuple[int, str, str]], files: dict[str, Path]
) -> None:
    code, out, err = evaluate("--inception", files["heads"])

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "heads.pth looks like LPIPS's heads for AlexNet: expected FID's Inception" in err


def test_nothing_in_a_file_of_weights_can_run(
    evaluate: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "harmed",)  # type: ignore[return-value]

    torch.save({"weights": Harm()}, tmp_path / "harm.pth")

    code, _, err = evaluate("--inception", tmp_path / "harm.pth")

    assert code == 2
    assert "was not opened" in err
    assert not (tmp_path / "harmed").exists()
