"""The settings of a service on the command line: each is a flag and an environment variable, in its own words.

A flag comes before the environment, that before the settings file, and that before the default.
"""

import difflib
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from athanor.errors import SettingsError
from athanor.home import Home
from athanor.serving.settings import ENVIRONMENT_PREFIX

if TYPE_CHECKING:
    from athanor.serving.settings import ServingSettings

PREFIX: Final = ENVIRONMENT_PREFIX
_FILE: Final = "settings"
# The command's argument and the home say these.
_NOT_FLAGS: Final = ("project", "folder")


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command, in the place of its `**settings`, a flag for each setting and one for a file of them."""
    from athanor.serving.settings import ServingSettings

    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    flags = [_make_flag(_FILE, Path, f"--{_FILE}", "File of settings, TOML; a key for each.")]
    for name, field in ServingSettings.model_fields.items():
        if name not in _NOT_FLAGS:
            is_switch = field.annotation is bool
            default = "" if is_switch or field.is_required() or field.default is None else f" [{field.default}]"
            kind = bool if is_switch else str
            flags.append(_make_flag(name, kind, f"--{name.replace('_', '-')}", f"{field.description}{default}"))
    command.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]
    command.__annotations__ |= {flag.name: flag.annotation for flag in flags}
    return command


def _make_flag(name: str, kind: type, flag: str, words: str) -> inspect.Parameter:
    option = typer.Option(flag, envvar=f"{PREFIX}{name.upper()}", show_envvar=True, help=words)
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
    from athanor.serving.settings import make_settings, read_settings_file

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
    names = [name.upper() for name in known]
    for variable in os.environ:
        name = variable.removeprefix(PREFIX)
        if name != variable and name not in names:
            close = difflib.get_close_matches(name, names, 1)
            raise SettingsError(f"{variable} is no setting" + (f"; did you mean {PREFIX}{close[0]}?" if close else ""))
