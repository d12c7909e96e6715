"""Command-line app of the layer `client`: call a running service."""

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer
from rich.console import Group, RenderableType

from athanor.cli.shared.terminal import (
    HomeOption,
    JsonOption,
    facts,
    listing,
    make_app,
    run_program,
    show,
    watch,
)
from athanor.errors import InvalidRequestError, SettingsError

if TYPE_CHECKING:
    from athanor.client.client import Client
    from athanor.client.files.jobs import JobOptions
    from athanor.client.files.rows import RowFormat
    from athanor.progress import Advance

_STANDARD_INPUT: Final = "-"
# Shorter work shows no bar.
_WATCH_AFTER_S: Final = 2.0

app = make_app("client", "Call a running prediction service.")


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="Name of the model, such as flight_delay or flight_delay.v2.")],
    rows: Annotated[
        Path, typer.Argument(help='File of rows: .json (an array), .jsonl, .ndjson or .csv; "-" for standard input.')
    ],
    *,
    target: Annotated[
        str, typer.Option(envvar="ATHANOR_TARGET", help="gRPC address: host:port, or grpcs://host:port for TLS.")
    ] = "127.0.0.1:9000",
    format: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(help="json, jsonl or csv; by default from the file's name, json for -.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File for the predictions, .jsonl or .csv; printed by default.")
    ] = None,
    batch_rows: Annotated[int, typer.Option(help="Rows in one request.")] = 1_000,
    timeout_s: Annotated[float, typer.Option(help="Deadline of one request, in seconds.")] = 30.0,
    semantic_version: Annotated[
        str | None, typer.Option(help="Version to ask; chosen by the traffic by default.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ATHANOR_TOKEN",
            help="Access token; prefer the environment. By default from the home.",
        ),
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file of the trusted certificate authorities.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file of the client's certificate.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of the certificate's private key.")] = None,
    allow_plaintext: Annotated[
        bool, typer.Option("--allow-plaintext", help="Allow sending the token over a network in plain text.")
    ] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Send rows to a service and print its predictions. Exit status 2 if rows break the contract."""
    from athanor.client.client import Client, connect
    from athanor.client.files.jobs import JobOptions
    from athanor.client.files.records import check_other, check_output
    from athanor.client.files.rows import open_text, read_rows

    if output is not None:
        check_output(output)
    form = _choose_format(rows, format)
    options = JobOptions(batch_rows, timeout_s, semantic_version)
    with (
        connect(
            target, token=token, ca=ca, certificate=certificate, key=key, allow_plaintext=allow_plaintext, home=home
        ) as connection,
        _open(rows) as source,
    ):
        if output is not None:
            check_other(output, source, str(rows))
        client = Client.from_reflection(model, connection, timeout_s)
        _check(source, str(rows), form, client)
        with DelayedBar("Predict", source, _WATCH_AFTER_S) as bar:
            found = read_rows(open_text(source), str(rows), form, client.row_class)
            result = _predict(client, found, options, output, bar.advance)
    show(result, json, lambda: _to_tables(result))


def _predict(
    client: "Client", rows: Iterable[Any], options: "JobOptions", output: Path | None, advance: "Advance"
) -> dict[str, Any]:
    from athanor.client.files.jobs import predict_all
    from athanor.client.files.records import writing

    if output is not None:
        with writing(output) as write:
            summary = predict_all(client, rows, options, write, advance)
        return {"output": str(output), **asdict(summary)}
    records: list[Any] = []
    summary = predict_all(client, rows, options, records.append, advance)
    return {"predictions": records, **asdict(summary)}


def _to_tables(result: Mapping[str, Any]) -> RenderableType:
    about = {"rows": f"{result['rows']:,}", "retries": result["retries"]}
    shares = [facts("Answered by", share) for share in result["answered_by"]]
    if "output" in result:
        return Group(facts("Predictions", {"written to": result["output"], **about}), *shares)
    records = result["predictions"]
    shown = [[value for name, value in record.items() if name != "request_id"] for record in records]
    return Group(
        listing("Predictions", [name for name in records[0] if name != "request_id"], shown),
        facts("Request", about),
        *shares,
    )


def _choose_format(path: Path, given: str | None) -> "RowFormat":
    from athanor.client.files.rows import RowFormat, format_of

    if given is None:
        return RowFormat.JSON if str(path) == _STANDARD_INPUT else format_of(path)
    try:
        return RowFormat(given)
    except ValueError:
        raise SettingsError(f"--format is {given!r}; give json, jsonl or csv") from None


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    if str(path) == _STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror}") from None
    with stream:
        yield stream


def _check(source: BinaryIO, name: str, form: "RowFormat", client: "Client") -> None:
    """Reads a file once before any row is sent: a bad last line is named in seconds, not minutes."""
    from athanor.client.files.rows import check_rows, open_text

    if not source.seekable():
        return
    begin = source.tell()
    with DelayedBar("Check", source, _WATCH_AFTER_S) as bar:
        for rows in check_rows(open_text(source), name, form, client.row_class):
            bar.advance(f"{rows:,} rows")
    source.seek(begin)


class DelayedBar:
    """A progress bar that appears only if the work takes longer than a delay.

    It shows how much of a file was read; for a pipe, which has no size, only text.
    """

    def __init__(self, description: str, source: BinaryIO, delay_s: float) -> None:
        self._description = description
        self._source = source if source.seekable() else None
        self._position = 0
        self._shown = ExitStack()
        self._bar: Advance | None = None
        self._is_over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(delay_s, self._show)
        self._timer.daemon = True

    def __enter__(self) -> "DelayedBar":
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # Wait for a bar that is about to appear; none appears afterwards.
        with self._lock:
            self._is_over = True
            self._shown.__exit__(kind, error, traceback)

    def advance(self, words: str, amount: int = 1) -> None:
        """Implements `athanor.progress.Advance`."""
        with self._lock:
            if self._bar is not None:
                position = self._source.tell() if self._source else 0
                self._bar(words, position - self._position)
                self._position = position

    def _show(self) -> None:
        with self._lock:
            if not self._is_over:
                progress = self._shown.enter_context(watch())
                total = os.fstat(self._source.fileno()).st_size if self._source else 1
                self._bar = self._shown.enter_context(progress.step(self._description, max(total, 1)))


def main() -> None:
    run_program(app)


if __name__ == "__main__":
    main()
