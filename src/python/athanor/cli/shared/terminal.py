"""Shared by all command-line apps: progress, errors and results."""

import dataclasses
import errno
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO, TypeAlias, cast

import typer
from rich.console import Console, RenderableType
from rich.table import Column, Table

from athanor.cli.shared.plain import plain
from athanor.errors import AthanorError, StorageError
from athanor.home import VARIABLE
from athanor.system.code.import_path import protect_imports
from athanor.system.printable import printable
from athanor.system.url_secrets import mask_secrets
from athanor.version import VERSION

if TYPE_CHECKING:
    from athanor.progress import Progress

_WRITABLE: Final = "choose a folder that this user can write to, such as another --home"
_SPACE: Final = "free some space, or choose a folder with more of it, such as another --home"
_REMEDIES: Final = {
    errno.EROFS: _WRITABLE,
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EIO: "check the disk",
    errno.ENOTDIR: "give the path of a folder",
    errno.EISDIR: "give the path of a file",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EMFILE: "raise the limit of open files: ulimit -n",
}


class _StandardError:
    """Loses what a full disk refuses: a bar that cannot be drawn is no reason to end a training."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


# Results go to standard output, everything else to standard error.
out = Console()
err = Console(file=cast(TextIO, _StandardError()))

ProjectArgument: TypeAlias = Annotated[str, typer.Argument(help="Name of the project, such as flight_delay.")]
HomeOption: TypeAlias = Annotated[
    Path | None, typer.Option("--home", envvar=VARIABLE, help="Folder of all that Athanor writes; .athanor by default.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@contextmanager
def watch() -> "Iterator[Progress]":
    """Shows progress on standard error for as long as the context lasts."""
    from athanor.cli.shared.bars import TerminalProgress, make_bars

    with make_bars(err) as bars:
        yield TerminalProgress(bars)


def make_app(name: str, about: str) -> typer.Typer:
    """An app that prints the version on `--version`, and its help without arguments."""
    app = typer.Typer(name=name, help=about, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    @app.callback()
    def options(
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                callback=_print_version,
                is_eager=True,
                help="Print the version and the digests of this binary.",
            ),
        ] = False,
    ) -> None:
        pass

    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from athanor.system.code.binary import find_binary

        typer.echo(f"{VERSION}\n{find_binary() or 'from sources'}")
        raise typer.Exit


def run_program(app: typer.Typer) -> None:
    """Runs an app as a program: its children import nothing that it would not, and its files are its user's alone."""
    protect_imports()
    # What a command and its children write holds rows, predictions and tokens: it is for its user alone.
    os.umask(0o077)
    try:
        run_app(app)
    finally:
        _drop_unwritten()


def run_app(app: typer.Typer) -> None:
    """Runs an app. Prints an AthanorError to standard error and exits with its status; so with an OSError of a path."""
    try:
        with _storage_errors():
            app(prog_name=_program_name(app))
    except AthanorError as error:
        err.print(f"[red]{error.code}[/] {plain(error)}", highlight=False, soft_wrap=True)
        for violation in getattr(error, "violations", ()):
            err.print(f"  - {plain(violation.description)}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_status)
    except Exception:
        sys.excepthook = _print_defect
        raise


def _drop_unwritten() -> None:
    """Drops what a full disk refused: Python would try again at its end, fail, and exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - it is no file
                os.dup2(nowhere.fileno(), stream.fileno())


def _print_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints a traceback as Python does. A library's error may quote a URL with its password."""
    text = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(printable(mask_secrets(text), keep="\n\t"))


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Turns an error of the file system into words with a remedy. Any other error of the system stays a defect."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        paths = " -> ".join(str(path) for path in (error.filename, error.filename2) if path is not None)
        raise StorageError(
            f"{paths or 'the standard output or a file'}: {error.strerror}; {_REMEDIES[error.errno]}"
        ) from error


def _program_name(app: typer.Typer) -> str:
    """As people type it: the binary's file, "client.pex". Python would say "python -m athanor.cli.client.app"."""
    binary = os.environ.get("PEX")
    return Path(binary).name if binary else str(app.info.name)


def show(result: Any, as_json: bool, table: Callable[[], RenderableType]) -> None:
    """Prints a result as JSON or as a table."""
    if as_json:
        typer.echo(to_json(result))
    else:
        out.print(table())


def to_json(result: Any) -> str:
    """A result as JSON: dataclasses and models are objects; numbers that are not finite are null."""
    return json.dumps(_finite(json.loads(json.dumps(result, default=_to_json))), indent=2)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_finite(held) for held in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def facts(title: str, rows: Mapping[str, object]) -> Table:
    """A table of two columns."""
    table = Table(
        Column(no_wrap=True), Column(overflow="fold"), title=plain(title), title_justify="left", show_header=False
    )
    for name, value in rows.items():
        table.add_row(plain(name), plain(value))
    return table


def listing(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table with a header."""
    table = Table(*(Column(plain(name), overflow="fold") for name in header), title=plain(title), title_justify="left")
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    return table
