"""The entry point of the command line: finds the command, runs it, and turns how it ended into an exit code.

| code | means |
|---|---|
| 0 | done |
| 1 | a fault of sat2map itself |
| 2 | wrong usage, or input that cannot be used |
| 3 | `data check` found something |
| 130 | stopped by Ctrl-C, or by a signal to end |
| 141 | the reader of standard output has gone, as after `| head` |
"""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType

from sat2map.cli.commands import COMMANDS, overview
from sat2map.cli.terminal import print_error, verbosity
from sat2map.errors import Sat2MapError, SettingsError, nearest

EXAMPLES = """
Examples:
  sat2map translate photo.jpg --gsd 0.3 --output map.png
  sat2map train --data pairs --run runs/mine
"""
GLOBAL_OPTIONS = """
Options of every command:
  -h, --help        Show the help of a command.
  -q, --quiet       Print errors and results only.
  -v, --verbose     Print more, with warnings of libraries.
  -V, --version     Print the version.
"""
EXIT_CODES = """
Exit codes: 0 done; 1 a fault of sat2map; 2 wrong usage or bad input; 3 findings of `data check`; 130 stopped.
"""
FAULT, BAD_INPUT, STOPPED, PIPE_CLOSED = 1, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        argv: The arguments; None: those of this process.

    Raises:
        SystemExit: With the exit code, if it is not 0.
    """
    _open_closed_streams()
    _print_what_cannot_be_encoded()
    arguments, switches = _split_switches(sys.argv[1:] if argv is None else argv)
    quiet, verbose = bool(switches & {"-q", "--quiet"}), bool(switches & {"-v", "--verbose"})
    flags: dict[str, str] = {}
    with verbosity(quiet=quiet, verbose=verbose, flags=flags), _signals_interrupt():
        code = _run(arguments, flags)
    if code:
        sys.exit(code)


def _run(arguments: list[str], flags: dict[str, str]) -> int:
    """Run a command, print its error, and return the exit code; `flags` gets those of the command."""
    try:
        _dispatch(arguments, flags)
        sys.stdout.flush()  # here, where an error can still be reported
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAULT if stop.code else 0
    except Sat2MapError as error:
        print_error(str(error), error.setting)
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:
        _forget_standard_output()
        return PIPE_CLOSED
    except MemoryError:
        print_error("the machine ran out of memory: use a smaller input, or close other programs")
    except OSError as error:
        if error.filename is None:  # what Python says where a write to an open stream fails
            _forget_standard_output()
            print_error(f"the output cannot be written: {error.strerror or error}")
        else:
            print_error(f"{os.fsdecode(error.filename)} cannot be used: {error.strerror or error}")
    except Exception:
        traceback.print_exc()
        print_error("this is a fault of sat2map, not of your input: please report it with the lines above")
        return FAULT
    else:
        return 0
    return BAD_INPUT


def _dispatch(arguments: list[str], flags: dict[str, str]) -> None:
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            "Turn satellite imagery into maps.\n\n"
            "Usage: sat2map COMMAND [OPTIONS]     (sat2map help COMMAND explains a command)\n"
            f"{overview()}\n{GLOBAL_OPTIONS}{EXIT_CODES}{EXAMPLES}{_documentation()}",
            end="",
        )
        return
    if arguments[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"sat2map {version('sat2map')}")
        return
    length = 2 if any(name.startswith(f"{arguments[0]} ") for name in COMMANDS) else 1
    name = " ".join(arguments[:length])
    if length == 2 and arguments[1:2] in ([], ["-h"], ["--help"]):
        print(f"Usage: sat2map {arguments[0]} COMMAND [OPTIONS]\n{overview(f'{arguments[0]} ')}")
        if arguments[0] == "presets":
            from sat2map.cli.presets import describe_presets

            print(describe_presets())
        return
    if name not in COMMANDS:
        raise SettingsError(f"no command is called '{name}'", hint=nearest(name, COMMANDS))
    from sat2map.runtime.cpu import prepare_openmp, watch_load

    watch_load()  # while modules are imported
    from sat2map.runtime.memory import collector_paused

    with collector_paused():
        from sat2map.cli.parsing import parse

        invocation = parse(name, arguments[length:])
    flags.update(invocation.flags)
    prepare_openmp()  # before the command imports PyTorch
    invocation.call()


def _documentation() -> str:
    """Return where the documentation is, as the package's metadata says."""
    from importlib.metadata import metadata

    for entry in metadata("sat2map").get_all("Project-URL") or ():
        label, _, url = entry.partition(", ")
        if label.lower() == "documentation":
            return f"\nDocumentation: {url}\n"
    return ""


def _split_switches(arguments: Sequence[str]) -> tuple[list[str], set[str]]:
    """Separate the options that every command has from the rest, up to `--`."""
    known = {"-q", "--quiet", "-v", "--verbose"}
    end = arguments.index("--") if "--" in arguments else len(arguments)
    before = arguments[:end]
    rest = [argument for argument in before if argument not in known]
    return [*rest, *arguments[end:]], known.intersection(before)


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C, so that files are left whole; what is ignored stays ignored."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        # Python allows handlers in the main thread only.
        with contextlib.suppress(ValueError):
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is interrupt:  # else the service, which stops, ignores a second one
                signal.signal(number, handler)


def _open_closed_streams() -> None:
    """Connect closed standard streams to nothing, or files opened later would get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # open for the whole process
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _print_what_cannot_be_encoded() -> None:
    """Print `?` for what the output's encoding lacks; undecodable file names come out as they are."""

    def replace(error: UnicodeError) -> tuple[str | bytes, int]:
        assert isinstance(error, UnicodeEncodeError)
        if error.encoding.lower().replace("_", "-") == "utf-8":
            with contextlib.suppress(UnicodeEncodeError):
                return codecs.lookup_error("surrogateescape")(error)
        return codecs.lookup_error("replace")(error)

    codecs.register_error("sat2map", replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="sat2map")


def _forget_standard_output() -> None:
    """Point standard output at nothing, or the end of the process would flush it, and fail, again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
