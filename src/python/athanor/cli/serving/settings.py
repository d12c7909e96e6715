"""The settings of a service on the command line: each is a flag and an environment variable, in its own words.

A flag comes before the environment, that before the settings file, and that before the default.
"""

import difflib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand

from athanor.errors import SettingsError
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.serving.setup.settings import ServingSettings

_FILE: Final = "settings"
# The command's argument and the home say these.
_NOT_FLAGS: Final = ("project", "folder")


def settings_command(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds a command to an app, which has in the place of its `**settings` a flag for each setting and one for a file.

    The flags are made when the command runs or tells its own help, since what declares them takes its time to load:
    the help of an app that has such a command does without.
    """

    def add(command: Callable[..., None]) -> Callable[..., None]:
        app.command(name, cls=_CommandWithSettings)(_replace_settings(command, ()))
        return command

    return add


class _CommandWithSettings(TyperCommand):
    """Asks for the flags when it is asked for its parameters; its callback is a function of `_replace_settings`."""

    _is_whole = False

    def get_params(self, ctx: Any) -> list[Any]:
        if not self._is_whole:
            command = inspect.unwrap(self.callback)  # type: ignore[arg-type]
            apart = typer.Typer(add_completion=False)
            apart.command()(_replace_settings(command, _make_flags()))
            whole = typer.main.get_command(apart)
            self.params, self.callback, self._is_whole = whole.params, whole.callback, True
        return super().get_params(ctx)


def _replace_settings(command: Callable[..., None], flags: Sequence[inspect.Parameter]) -> Callable[..., None]:
    """The command with a signature that says flags instead of `**settings`."""

    @wraps(command)
    def replaced(*arguments: object, **named: object) -> None:
        command(*arguments, **named)

    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    replaced.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]
    replaced.__annotations__ = command.__annotations__ | {flag.name: flag.annotation for flag in flags}
    return replaced


def _make_flags() -> Sequence[inspect.Parameter]:
    from athanor.serving.setup.settings import ServingSettings

    flags = [_make_flag(_FILE, Path, f"--{_FILE}", "File of settings, TOML; a key for each.")]
    for name, field in ServingSettings.model_fields.items():
        if name not in _NOT_FLAGS:
            is_switch = field.annotation is bool
            default = "" if is_switch or field.is_required() or field.default is None else f" [{field.default}]"
            kind = bool if is_switch else str
            flags.append(_make_flag(name, kind, f"--{name.replace('_', '-')}", f"{field.description}{default}"))
    return flags


def _make_flag(name: str, kind: type, flag: str, words: str) -> inspect.Parameter:
    from athanor.serving.setup.settings import ENVIRONMENT_PREFIX

    option = typer.Option(flag, envvar=f"{ENVIRONMENT_PREFIX}{name.upper()}", show_envvar=True, help=words)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def read_settings(project: str, home: Home, given: Mapping[str, object]) -> "ServingSettings":
    """The settings of a service.

    Args:
        given: those of flags and environment; None where neither says one.

    Raises:
        SettingsError: a setting is unknown or cannot be; names every one.
    """
    from athanor.serving.setup.settings import make_settings, read_settings_file

    _check_environment(given)
    file = given[_FILE]
    filed = read_settings_file(file) if isinstance(file, Path) else {}
    if filed.get("project", project) != project:
        raise SettingsError(f"{file} has the settings of project {filed['project']!r}, not of {project!r}")
    told = {
        "store": home.store_url,
        "folder": home.service,
        **filed,
        **{name: value for name, value in given.items() if value is not None and name != _FILE},
        "project": project,
    }
    return make_settings(**told)


def _check_environment(known: Mapping[str, object]) -> None:
    """Refuses a variable that looks like a setting and is none: else it would be left out in silence."""
    from athanor.serving.setup.settings import ENVIRONMENT_PREFIX as PREFIX

    names = [name.upper() for name in known]
    for variable in os.environ:
        name = variable.removeprefix(PREFIX)
        if name != variable and name not in names:
            close = difflib.get_close_matches(name, names, 1)
            raise SettingsError(f"{variable} is no setting" + (f"; did you mean {PREFIX}{close[0]}?" if close else ""))
