"""Services whose descriptions are damaged, endless or made to harm: an error in words, within bounds."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any, Final, TypeAlias

import pytest
from client.reflecting import Described, Reflect, Reply, one_by_one, reflecting, to_bytes
from client.scripted import QUICK
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from support.protos import Toy

from athanor.client.aio import AsyncClient
from athanor.client.client import Client, connect
from athanor.client.contract.dialogue import find_predict
from athanor.errors import AthanorError, ModelNotFoundError, ServiceError
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

_TOY: Final = Toy().read()
_TOKEN: Final = "athn_very-secret"  # noqa: S105 - opens nothing
_SERVICE: Final = _TOY.service.full_name

_RESERVED: Final = FieldDescriptorProto(
    name="DESCRIPTOR",
    number=99,
    type=FieldDescriptorProto.TYPE_STRING,
    label=FieldDescriptorProto.LABEL_OPTIONAL,
)

_Describe: TypeAlias = Callable[[ServerReflectionRequest], ServerReflectionResponse]
Bend: TypeAlias = Callable[[FileDescriptorProto], object]


def _message(file: FileDescriptorProto, name: str) -> Any:
    return next(message for message in file.message_type if message.name == name)


def _drop(file: FileDescriptorProto, message: str, name: str) -> None:
    fields = _message(file, message).field
    fields.remove(next(field for field in fields if field.name == name))


def _add_repeated(file: FileDescriptorProto) -> None:
    label = FieldDescriptorProto.LABEL_REPEATED
    _message(file, "PredictRequest").field.add(name="more", number=9, label=label, type=FieldDescriptorProto.TYPE_INT32)


def _add_service(file: FileDescriptorProto, name: str) -> None:
    file.service.add().CopyFrom(file.service[0])
    file.service[-1].name = name


def _make_map(file: FileDescriptorProto) -> None:
    """Makes the rows the entries of a map."""
    request = _message(file, "PredictRequest")
    entry = request.nested_type.add(name="RowsEntry")
    entry.options.map_entry = True
    for number, name in enumerate(("key", "value"), start=1):
        entry.field.add(name=name, number=number, label=1, type=FieldDescriptorProto.TYPE_STRING)
    request.field[0].type_name = ".toy.v1.PredictRequest.RowsEntry"


_BENT: Final[dict[str, tuple[Bend, str]]] = {
    "no method": (lambda f: f.service[0].ClearField("method"), "of toy.v1.ToyService, none has a unary method Predict"),
    "a stream": (lambda f: setattr(f.service[0].method[0], "server_streaming", True), "none has a unary method"),
    "no version": (lambda f: _drop(f, "PredictRequest", "semantic_version"), "has no field semantic_version of type"),
    "no variant": (lambda f: _drop(f, "PredictResponse", "variant"), "PredictResponse has no field variant of type"),
    "no rows": (lambda f: _drop(f, "PredictRequest", "rows"), "toy.v1.PredictRequest has 0 repeated fields"),
    "two lists": (_add_repeated, "toy.v1.PredictRequest has 2 repeated fields, not a single one"),
    "a map": (_make_map, "PredictRequest has 1 repeated fields, not a single one of messages"),
    "a name": (lambda f: _message(f, "Row").field.append(_RESERVED), "toy.v1.Row.DESCRIPTOR has a name"),
    "an unknown type": (lambda f: setattr(f.service[0].method[0], "input_type", ".toy.v1.X"), "do not agree: .*toy.v1"),
    "an unknown file": (lambda f: f.dependency.append("absent.proto"), "without 'absent.proto', which it imports"),
    "itself": (lambda f: f.dependency.append(f.name), "do not agree"),
    "a package": (lambda f: setattr(f, "package", "other"), "do not agree"),
    "many imports": (lambda f: f.dependency.extend(f"{i}.proto" for i in range(300)), "by more than 256 files"),
}


def _describe(*files: bytes, services: Iterable[str] = (_SERVICE,)) -> _Describe:
    """Names services, and sends files for any of them; sends no file that is asked for by its name."""

    def reply(question: ServerReflectionRequest) -> ServerReflectionResponse:
        response = ServerReflectionResponse()
        if question.list_services:
            for name in services:
                response.list_services_response.service.add(name=name)
        elif question.file_containing_symbol:
            response.file_descriptor_response.file_descriptor_proto.extend(files)
        return response

    return reply


def _bend(bend: Bend) -> list[bytes]:
    """The files of a good contract, its own bent."""
    described = Described.of(_TOY)
    bend(described.own)
    return [file.SerializeToString() for file in described.files.values()]


def _read(reply: Reply) -> Any:
    """Reads the contract without a server."""
    dialogue = find_predict("toy")
    question = next(dialogue)
    while True:
        answer = to_bytes(reply(ServerReflectionRequest.FromString(question)))
        try:
            question = dialogue.send(answer)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("bent", _BENT)
def test_a_description_that_is_no_models_is_refused(bent: str) -> None:
    bend, expected = _BENT[bent]
    with pytest.raises(ServiceError, match=expected):
        _read(_describe(*_bend(bend)))


def test_a_good_description_is_read() -> None:
    assert _read(_describe(*_bend(lambda file: None))).path == "/toy.v1.ToyService/Predict"


def test_services_that_share_a_package_are_named() -> None:
    two = [_SERVICE, "toy.v1.Twin"]
    files = _bend(lambda file: _add_service(file, "Twin"))
    with pytest.raises(ServiceError, match=r"of toy.v1.ToyService, toy.v1.Twin, more than one has a unary method"):
        _read(_describe(*files, services=two))
    # A service without the method does not matter.
    files = _bend(lambda file: file.service.add(name="Twin"))
    assert _read(_describe(*files, services=two)).path == "/toy.v1.ToyService/Predict"
    with pytest.raises(ServiceError, match=r"has 17 services of package toy\.v1; a model has one"):
        _read(_describe(services=[f"toy.v1.S{i}" for i in range(17)]))


def test_names_of_services_are_shown_only_if_they_can_be_models() -> None:
    strange = ["toy.v1.\x1b[2J", "toy.v1", "grpc.health.v1.Health", "x" * 10_000 + ".v1.S", "", "é.v1.S"]
    with pytest.raises(ModelNotFoundError, match=r"it serves no model yet$"):
        _read(_describe(services=strange))
    many = [f"m{i:03}.v1.S" for i in range(100)]
    with pytest.raises(ModelNotFoundError, match=r"it serves m000, .*m019 and 80 more$"):
        _read(_describe(services=many))


def test_the_types_of_protobuf_are_its_own() -> None:
    """A service cannot replace the fields that protobuf's code for timestamps relies on."""
    timestamp = FileDescriptorProto(name="google/protobuf/timestamp.proto", package="google.protobuf")
    timestamp.message_type.add(name="Timestamp")
    row = _read(_describe(timestamp.SerializeToString(), *_bend(lambda file: None))).row_class()
    row.at.FromJsonString("2013-12-24T22:15:00Z")
    assert row.at.seconds == 1_387_923_300


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        (5, ModelNotFoundError, "lists toy.v1.ToyService without describing it"),
        (7, ServiceError, "refused a question with gRPC code 7"),
        (999, ServiceError, "refused a question with gRPC code 999"),
    ],
)
def test_an_error_in_an_answer_is_named(code: int, kind: type[AthanorError], expected: str) -> None:
    good = _describe()

    def reply(question: ServerReflectionRequest) -> ServerReflectionResponse:
        if question.list_services:
            return good(question)
        response = ServerReflectionResponse()
        response.error_response.error_code = code
        return response

    with pytest.raises(kind, match=expected):
        _read(reply)


def test_files_that_import_ever_more_files_end() -> None:
    good = _describe(FileDescriptorProto(name="0", dependency=["1"]).SerializeToString())

    def reply(question: ServerReflectionRequest) -> ServerReflectionResponse:
        response = good(question)
        if question.file_by_filename:
            name = question.file_by_filename
            file = FileDescriptorProto(name=name, dependency=[str(int(name) + 1)])
            response.file_descriptor_response.file_descriptor_proto.append(file.SerializeToString())
        return response

    with pytest.raises(ServiceError, match="by more than 256 files"):
        _read(reply)


def test_damaged_descriptions_are_errors_in_words() -> None:
    """Any byte may be wrong, anywhere."""
    chance, files = random.Random(0), _bend(lambda file: None)  # noqa: S311 - no secret
    outcomes = set()
    for _ in range(1_000):
        damaged = [bytearray(file) for file in files]
        for _ in range(chance.randint(1, 3)):
            file = chance.choice(damaged)
            file[chance.randrange(len(file))] = chance.randrange(256)
        try:
            method = _read(_describe(*map(bytes, damaged)))
            method.make_request([method.row_class()], "1.0.0")
            outcomes.add("read")
        except ServiceError as error:
            outcomes.add(str(error).split(":")[0])
    assert len(outcomes) > 3


def _read_sync(target: str) -> None:
    with connect(target, retry=QUICK, token=_TOKEN) as connection:
        Client.from_reflection("toy", connection)


def _read_async(target: str) -> None:
    async def read() -> None:
        async with connect(target, retry=QUICK, token=_TOKEN) as connection:
            await AsyncClient.from_reflection("toy", connection)

    asyncio.run(read())


_READ: Final = {"sync": _read_sync, "async": _read_async}
_REPEATING: Final = FileDescriptorProto(name="a", dependency=[_TOKEN]).SerializeToString()
_LARGE: Final = _describe(b"\n" * 2_000_000)


@pytest.mark.parametrize(
    ("reflect", "expected"),
    [
        (lambda questions, context: repeat(b"\xff"), "sent an answer that cannot be read"),
        (lambda questions, context: iter(()), "reflection ended before it had answered"),
        (lambda questions, context: repeat(b""), "it serves no model yet"),
        (one_by_one(_describe(b"\xff")), "by a file that cannot be read"),
        (one_by_one(_LARGE), "describes its contract by more than 1048576 bytes"),
        (one_by_one(_describe(_REPEATING)), r"without '\[token\]', which it imports"),
    ],
    ids=["garbage", "nothing", "empty", "garbage in a file", "large", "token"],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_a_service_streams_is_bounded(reflect: Reflect, expected: str, kind: str) -> None:
    with reflecting(reflect) as target, pytest.raises(AthanorError, match=expected):
        _READ[kind](target)


def test_a_stream_without_an_end_is_left() -> None:
    good = _describe(*_bend(lambda file: None))

    def reflect(questions: Iterator[ServerReflectionRequest], context: Any) -> Iterator[Any]:
        for question in questions:
            yield from repeat(good(question))

    with reflecting(reflect) as target:
        for read in _READ.values():
            read(target)
