"""Command-line app of the layer `client`: ask a running service."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group

from athanor.cli.terminal import JsonOption, ProjectArgument, facts, listing, make_app, run, show
from athanor.errors import InvalidRequestError

if TYPE_CHECKING:
    from athanor.client.client import Client

app = make_app("client", "Ask a running prediction service.")


@app.command()
def predict(
    project: ProjectArgument,
    rows: Annotated[Path, typer.Argument(help='File with a JSON array of rows, "-" for standard input.')],
    target: Annotated[str, typer.Option(help="host:port of the service's gRPC door.")] = "127.0.0.1:9000",
    timeout_s: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 10.0,
    json: JsonOption = False,
) -> None:
    """Send rows to a service and print its answer. Exit status 2 when they break the contract."""
    from google.protobuf import json_format

    from athanor.client.client import Client, connect

    with connect(target) as channel:
        client = Client(project, channel)
        answer = client.predict(_read_rows(rows, client), timeout_s)
    result = json_format.MessageToDict(answer, preserving_proto_field_name=True)
    predictions = result.pop("predictions")
    header = ("row", *predictions[0])
    cells = [(row, *prediction.values()) for row, prediction in enumerate(predictions)]
    tables = Group(listing("Predictions", header, cells), facts("Answered by", result))
    show({"predictions": predictions, **result}, json, lambda: tables)


def _read_rows(path: Path, client: "Client") -> list[Any]:
    import json

    from google.protobuf import json_format

    text = sys.stdin.read() if str(path) == "-" else path.read_text()
    try:
        return [json_format.ParseDict(row, client.row_class()) for row in json.loads(text)]
    except (ValueError, TypeError, json_format.ParseError) as error:
        raise InvalidRequestError(
            f"{path} holds no JSON array of {client.row_class.DESCRIPTOR.full_name}: {error}"
        ) from None


def main() -> None:
    run(app)


if __name__ == "__main__":
    main()
