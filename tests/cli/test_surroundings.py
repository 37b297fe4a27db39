"""Tests of the command line where the terminal, the streams or the user are not as usual."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sat2map.cli import parsing
from sat2map.cli.main import main
from sat2map.cli.terminal import LOGGER, counted, say
from sat2map.errors import DataError, OutputError
from sat2map.synthetic.towns import draw_town

SAT2MAP = [sys.executable, "-m", "sat2map"]


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **options.pop("env", {})}
    command = [*SAT2MAP, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **options)


def ended(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, *switches: str) -> int:
    """Return the exit code of a command that raises an error."""

    def call() -> None:
        if error is not None:
            raise error
        LOGGER.info("a note")
        LOGGER.debug("a detail")
        warnings.warn("of a library", UserWarning, stacklevel=1)
        say("done")

    flags = {"data": "--data", "resolution": "--resolution"}
    monkeypatch.setattr(parsing, "parse", lambda *_: parsing.Invocation(call, flags))
    code: object = 0
    try:
        main(["info", *switches])
    except SystemExit as stop:
        code = stop.code
    assert isinstance(code, int)
    return code


# errors


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (DataError("no pairs in x"), 2, "sat2map: no pairs in x\n"),
        (
            DataError("no pairs in x", hint="look", setting="data"),
            2,
            "sat2map: no pairs in x: look (--data)\n",
        ),
        (DataError("no pairs", setting="data.data"), 2, "sat2map: no pairs (--data)\n"),
        (DataError("no pairs", setting="epochs"), 2, "sat2map: no pairs\n"),
        (
            MemoryError(),
            2,
            "sat2map: the machine ran out of memory: use a smaller input, or close other programs\n",
        ),
        (
            PermissionError(13, "Permission denied", "a.tif"),
            2,
            "sat2map: a.tif cannot be used: Permission denied\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_one_sentence_with_the_option_it_is_about(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    sentence: str,
) -> None:
    assert ended(monkeypatch, error) == code
    assert capsys.readouterr().err == sentence


def test_a_fault_of_ours_ends_with_1_and_is_called_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, ZeroDivisionError()) == 1
    assert "this is a fault of sat2map, not of your input" in capsys.readouterr().err


def test_the_first_word_of_an_error_is_red_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    ended(monkeypatch, OutputError("no room"))
    err = capsys.readouterr().err
    assert err.startswith("\x1b[1;31msat2map:\x1b[0m no room")


# how much is printed


@pytest.mark.parametrize(
    ("switch", "out", "err"),
    [((), "done\n", "note: a note\n"), (("--quiet",), "", ""), (("-q",), "", "")],
)
def test_quiet_prints_neither_notes_nor_what_was_done(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    switch: tuple[str],
    out: str,
    err: str,
) -> None:
    assert ended(monkeypatch, None, *switch) == 0
    assert capsys.readouterr() == (out, err)


def test_notes_name_a_setting_as_the_flag_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    town = draw_town(3, size=128)
    pair = tmp_path / "pair.png"
    Image.fromarray(np.hstack([town.source, town.target])).save(pair)
    main(["translate", str(pair), "--output", str(tmp_path / "map.png"), "--threads", "1"])
    err = capsys.readouterr().err
    assert "only its left half, the photo, is used; --whole takes all of it" in err
    assert "if the map looks wrong, --gsd takes the true one" in err
    assert "the setting" not in err


def test_verbose_prints_details_and_warnings_of_libraries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(UserWarning, match="of a library"):
        ended(monkeypatch, None, "--verbose")
    assert "debug: a detail\n" in capsys.readouterr().err


def test_nouns_follow_their_counts() -> None:
    assert [counted(n, "pair") for n in (0, 1, 2)] == ["0 pairs", "1 pair", "2 pairs"]
    assert counted(2, "box", "boxes") == "2 boxes"


# streams and terminals


@pytest.mark.parametrize("page", ["cp1251", "ascii", "cp932"])
def test_output_in_an_encoding_that_lacks_characters_is_no_error(page: str) -> None:
    environment = {"PYTHONUTF8": "0", "PYTHONIOENCODING": page}
    program = "from sat2map.cli.main import main; main(['-V']); print('\u00d7 \U0001f600')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    assert b"?" in done.stdout


def test_a_file_name_that_is_not_utf_8_is_printed_as_it_is() -> None:
    program = (
        "import os; from sat2map.cli.main import main; main(['-V']); print(os.fsdecode(b'map-\\xff.tif'))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, env=environment)
    assert done.stdout.endswith(b"map-\xff.tif\n")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes the stream")
def test_a_closed_standard_output_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m sat2map --version >&-", shell=True, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_standard_output_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*SAT2MAP, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "sat2map: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("columns", ["5", "40", "200"])
def test_help_fits_any_terminal(columns: str) -> None:
    done = run("data", "check", "--help", env={"COLUMNS": columns})
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= max(40, int(columns))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_to_end_are_treated_like_ctrl_c(name: str) -> None:
    program = (
        # A shell's background jobs ignore some signals, and so would their children.
        f"import os, signal, time; signal.signal(signal.{name}, signal.SIG_DFL)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from sat2map.cli import parsing; from sat2map.cli.main import main\n"
        f"def call():\n    os.kill(os.getpid(), signal.{name}); time.sleep(60)\n"
        "parsing.parse = lambda *_: parsing.Invocation(call, {})\n"
        "main(['info'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")
    assert getattr(signal, name)


# numbers


@pytest.mark.parametrize(
    "arguments",
    [
        "translate a.png --gsd nan",
        "translate a.png --gsd inf",
        "translate a.png --gsd 1e-300",
        "translate a.png --gsd -1",
        "translate a.png --threads 100000",
        "translate a.png --threads -1",
        "translate a.png --threads 1.5",
        "serve --port 99999",
        "serve --workers 0",
        "plan --area-km2 nan --gsd 1",
        "plan --area-km2 1 --gsd 1e300",
        "vectorize a.tif --output a.gpkg --tolerance nan",
        "data synth x --count 0",
        "data synth x --val-fraction 2",
        "data from-rasters --source a.tif --target b.tif --output x --resolution nan",
        "train tiny --learning-rate nan",
        "bulk a.tif --output x --workers -1",
        "export --to onnx --limit inf",
    ],
)
def test_numbers_without_sense_are_refused_at_once_with_their_option(
    capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments.split())
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sat2map: --")


@pytest.mark.parametrize("text", ["nan,1", "1,inf", "a,b", "", "1,2,3"])
def test_several_numbers_must_be_finite_and_as_many_as_wanted(text: str) -> None:
    from sat2map.cli.flags import parse_numbers
    from sat2map.errors import SettingsError

    with pytest.raises(SettingsError, match="give 2 numbers such as 0,3000"):
        parse_numbers(text, float, "scale", "0,3000", 2)
    assert parse_numbers("-1,2.5", float, "scale", "0,3000", 2) == (-1.0, 2.5)
