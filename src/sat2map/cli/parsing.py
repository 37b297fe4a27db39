"""Parsing the arguments of one command with cyclopts; what does not fit becomes one sentence."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin

from sat2map.cli.commands import COMMANDS
from sat2map.errors import SettingsError, nearest

if TYPE_CHECKING:
    import cyclopts
    from cyclopts import exceptions

MIN_WIDTH = 40  # columns of a help; below about 10 its tables cannot be drawn
MAX_WIDTH = 110
_EXAMPLES = "\nExamples:\n"


class Invocation(NamedTuple):
    """A command with its arguments.

    Attributes:
        call: Runs it.
        flags: Its flags by the names of its parameters.
    """

    call: Callable[[], object]
    flags: dict[str, str]


def parse(name: str, arguments: Sequence[str]) -> Invocation:
    """Read the arguments of a command.

    Args:
        name: A name of `COMMANDS`.
        arguments: What follows it on the command line.

    Raises:
        SettingsError: They do not fit the command.
    """
    if name == "info" and len(arguments) < 2 and not any(text.startswith("-") for text in arguments):
        from sat2map.cli.about_model import print_info  # importing cyclopts takes as long as the answer

        return Invocation(functools.partial(print_info, *arguments), {"model": "--model"})
    from cyclopts import exceptions

    arguments = _with_new_names(arguments, COMMANDS[name].renamed)
    app = make_app(name, arguments)
    flags = {
        argument.field_info.name: argument.name
        for argument in app.assemble_argument_collection()
        if argument.name.startswith("--")
    }
    try:
        function, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    except exceptions.CycloptsError as error:
        raise SettingsError(f"{_sentence(error)}; 'sat2map {name} --help' lists all options") from None
    return Invocation(functools.partial(function, *bound.args, **bound.kwargs), flags)


def make_app(name: str, arguments: Sequence[str] = ()) -> cyclopts.App:
    """Return the parser of a command.

    Args:
        name: A name of `COMMANDS`.
        arguments: What follows it, for commands whose options depend on that.
    """
    import cyclopts
    from rich.console import Console

    from sat2map.cli.help_page import HelpPage, usage

    command = COMMANDS[name]
    module = import_module(f"sat2map.cli.{command.module}")
    function: Callable[..., object] = getattr(module, command.function)
    if command.adapt:
        function = getattr(module, command.adapt)(arguments)
    description, _, examples = (inspect.getdoc(function) or "").partition(_EXAMPLES)
    app = cyclopts.App(
        name=f"sat2map {name}",
        group_arguments=cyclopts.Group("Arguments", sort_key=0),
        group_parameters=cyclopts.Group("Options", sort_key=1),
        help=description.partition("\nArgs:\n")[0],
        help_format="plaintext",
        help_epilogue=f"Examples:\n{textwrap.indent(textwrap.dedent(examples), '  ')}" if examples else None,
        help_formatter=HelpPage(),
        version_flags=(),
        default_parameter=cyclopts.Parameter(
            negative=(), allow_leading_hyphen=False, converter=_convert, validator=_check_finite
        ),
        console=Console(width=max(MIN_WIDTH, min(MAX_WIDTH, shutil.get_terminal_size().columns))),
    )
    app["--help"].show = False
    app.default(function)
    app.usage = usage(f"sat2map {name}", app.assemble_argument_collection())
    return app


def _with_new_names(arguments: Sequence[str], renamed: Mapping[str, str]) -> list[str]:
    """Replace flags of earlier versions by what they are called now."""
    new = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        new.append(f"{renamed.get(flag, flag)}{equals}{value}")
    return new


def _convert(kind: Any, tokens: Sequence[cyclopts.Token]) -> Any:
    """Convert as cyclopts does, except that 1.5 is no whole number."""
    import cyclopts

    if kind is int and not all(re.fullmatch(r"[+-]?\d{1,18}", token.value) for token in tokens):
        raise ValueError
    return cyclopts.convert(kind, tokens)


def _check_finite(_kind: object, value: object) -> None:
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise ValueError("must be a finite number")


def _sentence(error: exceptions.CycloptsError) -> str:
    """Say in our words what does not fit."""
    # Imported for errors alone: where pydantic is loaded, cyclopts makes a validator of it for each argument.
    from cyclopts import exceptions
    from pydantic import ValidationError

    match error:
        case exceptions.UnknownOptionError():
            flag = (error.token.keyword or error.token.value).partition("=")[0]
            known = [
                name for argument in error.argument_collection if argument.show for name in argument.names
            ]
            close = difflib.get_close_matches(flag, known, n=1)
            return f"unknown option '{flag}'" + (f": did you mean '{close[0]}'?" if close else "")
        case exceptions.MissingArgumentError(argument=argument) if argument is not None:
            if error.keyword or argument.tokens:
                return f"{error.keyword or argument.name} needs {_value_of(argument)}"
            return f"{_label(argument)} is missing"
        case exceptions.CoercionError(argument=argument, token=token) if argument and token:
            value = f"{token.keyword or _label(argument)} '{token.value}'"
            choices = _choices(error.target_type)
            return (
                f"{value}: {nearest(token.value, choices)}"
                if choices
                else f"{value} is not {_value_of(argument)}"
            )
        case exceptions.ValidationError(__cause__=ValidationError() as cause):
            from sat2map.settings import explain

            return explain(cause)
        case exceptions.ValidationError(argument=argument) if argument and argument.tokens:
            token = argument.tokens[0]
            return f"{token.keyword or _label(argument)} {token.value}: {error.exception_message}"
        case exceptions.RepeatArgumentError():
            return f"{error.token.keyword} is given twice"
        case exceptions.UnusedCliTokensError(unused_tokens=[first, *_]):
            return f"unexpected argument '{first}'"
        case _:
            return " ".join(str(error).split()).rstrip(".")


def _label(argument: cyclopts.Argument) -> str:
    return argument.name if argument.name.startswith("--") else argument.name.upper()


def _choices(kind: object) -> list[str]:
    return [str(choice) for choice in get_args(kind)] if get_origin(kind) is Literal else []


def _value_of(argument: cyclopts.Argument) -> str:
    """Return what a parameter takes, in words."""
    kinds: list[Any] = [
        kind for kind in (get_args(argument.hint) or (argument.hint,)) if kind is not type(None)
    ]
    count = argument.token_count()[0]
    if get_origin(argument.hint) is Literal:
        return f"one of {', '.join(_choices(argument.hint))}"
    if count > 1:
        return f"{count} values"
    return {int: "a whole number", float: "a number"}.get(kinds[0], "a value")
