"""Settings of a service on the command line: each is a flag, an environment variable and a key of the settings file.

A flag wins over the environment, the environment over the file, the file over the default.
"""

import difflib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer
from typer.core import TyperCommand

from athanor.errors import SettingsError
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.serving.setup.settings import ServingSettings

ModelsArgument: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PROJECT]...", help="Projects to serve, or patterns such as 'flight*'; all with a champion by default."
    ),
]
NameOption: TypeAlias = Annotated[
    str | None, typer.Option("--name", help="Name of the service; by default its only project's, else models.")
]

_FILE: Final = "settings"
# Given by the command's argument, its --name and the home.
_NOT_FLAGS: Final = ("service", "models", "folder")


def settings_command(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds a command to an app, its `**settings` replaced by one flag for each setting and one for the settings file.

    The flags are made when the command runs or shows its own help: the module that declares them is slow to load, and
    the app's help does not need it.
    """

    def add(command: Callable[..., None]) -> Callable[..., None]:
        app.command(name, cls=_CommandWithSettings)(_replace_settings(command, ()))
        return command

    return add


class _CommandWithSettings(TyperCommand):
    """Makes its flags when first asked for its parameters. Its callback is made by `_replace_settings`."""

    _has_flags = False

    def get_params(self, ctx: Any) -> list[Any]:
        if not self._has_flags:
            command = inspect.unwrap(self.callback)  # type: ignore[arg-type]
            app = typer.Typer(add_completion=False)
            app.command()(_replace_settings(command, _make_flags()))
            made = typer.main.get_command(app)
            self.params, self.callback, self._has_flags = made.params, made.callback, True
        return super().get_params(ctx)


def _replace_settings(command: Callable[..., None], flags: Sequence[inspect.Parameter]) -> Callable[..., None]:
    """The command with flags in its signature instead of `**settings`."""

    @wraps(command)
    def replaced(**arguments: object) -> None:
        command(**arguments)

    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    replaced.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]
    replaced.__annotations__ = command.__annotations__ | {flag.name: flag.annotation for flag in flags}
    return replaced


def _make_flags() -> Sequence[inspect.Parameter]:
    from athanor.serving.setup.settings import ServingSettings

    flags = [_make_flag(_FILE, Path, "Settings file, TOML or JSON: one key for each setting.")]
    for name, field in ServingSettings.model_fields.items():
        if name not in _NOT_FLAGS:
            is_switch = field.annotation is bool
            value = None if is_switch or field.is_required() else field.get_default(call_default_factory=True)
            default = "" if value in (None, {}) else f" [{value}]"
            flags.append(_make_flag(name, bool if is_switch else str, f"{field.description}{default}"))
    return flags


def _make_flag(name: str, kind: type, text: str) -> inspect.Parameter:
    from athanor.serving.setup.settings import ENVIRONMENT_PREFIX

    flag = f"--{name.replace('_', '-')}"
    option = typer.Option(flag, envvar=f"{ENVIRONMENT_PREFIX}{name.upper()}", show_envvar=True, help=text)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def read_settings(
    models: Sequence[str] | None, service: str | None, home: Home, given: Mapping[str, object]
) -> "ServingSettings":
    """The settings of a service.

    Args:
        models: names or patterns; without any, the settings file's, else every model.
        service: its name; without one the settings file's, else as `name_service`.
        given: values of flags and environment variables; None where neither is set.

    Raises:
        SettingsError: settings are unknown or invalid; names each of them.
    """
    from athanor.serving.setup.names import DEFAULT_SERVICE, name_service
    from athanor.serving.setup.settings import make_settings, read_settings_file

    _check_environment(given)
    file = given[_FILE]
    values: dict[str, object] = {
        "store": home.store_url,
        "folder": home.service,
        **(read_settings_file(file) if isinstance(file, Path) else {}),
        **{name: value for name, value in given.items() if value is not None and name != _FILE},
    }
    if models:
        values["models"] = tuple(models)
    if service is not None:
        values["service"] = service
    if "service" in values:
        return make_settings(**values)
    return make_settings(**values, service=name_service(make_settings(**values, service=DEFAULT_SERVICE).models))


def _check_environment(known: Mapping[str, object]) -> None:
    """Refuses a variable with our prefix that is no setting: it would be ignored silently."""
    from athanor.serving.setup.settings import ENVIRONMENT_PREFIX as PREFIX

    names = [name.upper() for name in known]
    for variable in os.environ:
        name = variable.removeprefix(PREFIX)
        if name != variable and name not in names:
            close = difflib.get_close_matches(name, names, 1)
            raise SettingsError(
                f"{variable} is not a setting" + (f"; did you mean {PREFIX}{close[0]}?" if close else "")
            )
