"""Predictions as flat records, and files of them: JSON lines or CSV."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor

from athanor.client.batches import Predicted
from athanor.errors import ServiceError, SettingsError, StorageError
from athanor.system.atomic import rename_file, temporary_folder

Record = Mapping[str, Any]
Write = Callable[[Record], None]

_SUFFIXES: Final = (".jsonl", ".csv")


def to_record(predicted: Predicted) -> Record:
    """Position of the row, fields of the prediction (None if unset), and the release that answered.

    Raises:
        ServiceError: the prediction has no form in JSON.
    """
    prediction = predicted.prediction
    try:
        fields = json_format.MessageToDict(prediction, preserving_proto_field_name=True)
    except (json_format.Error, ValueError, TypeError) as error:  # such as a time before the year 1
        raise ServiceError(f"the prediction for row {predicted.row} cannot be written: {str(error)[:200]}") from None
    by = predicted.answered_by
    return {
        "row": predicted.row,
        **{name: fields.get(name) for name in _names(prediction.DESCRIPTOR)},
        "semantic_version": by.semantic_version,
        "variant": by.variant,
        "request_id": by.request_id,
    }


def _names(message: Descriptor) -> list[str]:
    """Its fields in the order of their numbers, which the contract has everywhere."""
    return [field.name for field in sorted(message.fields, key=attrgetter("number"))]


def check_output(path: Path) -> None:
    """Raises SettingsError unless the file's suffix is a known format."""
    if path.suffix.lower() not in _SUFFIXES:
        raise SettingsError(f"--output {path} has no known format; give a name that ends in {' or '.join(_SUFFIXES)}")


def check_other(output: Path, source: BinaryIO, name: str) -> None:
    """Raises SettingsError if the output is the file that the rows are read from, under whatever name."""
    try:
        is_same = os.path.samestat(os.fstat(source.fileno()), output.stat())
    except (OSError, io.UnsupportedOperation):  # there is no such file yet, or the rows are in none
        return
    if is_same:
        raise SettingsError(f"--output {output} is the file of the rows, {name}, and would replace it; give another")


@contextmanager
def writing(path: Path) -> Iterator[Write]:
    """Gives a function that writes one record. The file appears or is replaced when the context ends without an error.

    Raises:
        StorageError: the file cannot be written.
    """
    check_output(path)
    try:
        with temporary_folder(path.parent) as folder:
            temporary = folder / path.name
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                yield _csv(stream) if path.suffix.lower() == ".csv" else _json_lines(stream)
            rename_file(temporary, path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}; choose another place") from None


def _json_lines(stream: TextIO) -> Write:
    return lambda record: _write_line(stream, record)


def _write_line(stream: TextIO, record: Record) -> None:
    stream.write(f"{json.dumps(record)}\n")


def _csv(stream: TextIO) -> Write:
    writer = csv.writer(stream, lineterminator="\n")
    has_header = False

    def write(record: Record) -> None:
        nonlocal has_header
        if not has_header:
            writer.writerow(record)
            has_header = True
        writer.writerow(map(_to_cell, record.values()))

    return write


def _to_cell(value: Any) -> Any:
    """As `cells` reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
