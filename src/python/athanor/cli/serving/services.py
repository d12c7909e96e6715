"""Names of services on the command line: given, or found by what runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from athanor.errors import SettingsError
from athanor.home import Home

if TYPE_CHECKING:
    from collections.abc import Sequence

    from athanor.serving.setup.paths import ServicePaths

ServiceArgument: TypeAlias = Annotated[
    str | None, typer.Argument(help="Name of the service; by default the only one that runs from this home.")
]


def find_service(given: str | None, home: Path | None) -> "ServicePaths":
    """The files of the service that is given, else of the only one that runs from a home, else of `models`.

    Raises:
        SettingsError: several run and none is given, or the given name cannot be one.
    """
    from athanor.serving.setup.names import DEFAULT_SERVICE, check_service
    from athanor.serving.setup.paths import ServicePaths, list_running

    folder = Home.find(home).service
    if given is not None:
        try:
            return ServicePaths(folder, check_service(given))
        except ValueError as error:
            raise SettingsError(f"{given!r} {error}") from None
    running = list_running(folder)
    if len(running) > 1:
        raise SettingsError(f"several services run from {folder}: {', '.join(running)}; name one of them")
    return ServicePaths(folder, running[0] if running else DEFAULT_SERVICE)


def split_service(words: "Sequence[str]", last: str) -> tuple[str | None, str]:
    """The service, if it is given, and the word after it, of the argument `[SERVICE] LAST`.

    Click fills arguments from the left, and would take the last word for the service.

    Raises:
        SettingsError: there are more words than these two.
    """
    if len(words) > 2:
        raise SettingsError(f"{' '.join(words)!r} is too much; give [SERVICE] {last}")
    return (words[0] if len(words) > 1 else None), words[-1]
