"""Contracts read from .proto files: nothing of their projects is built or imported."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import grpc_tools.protoc  # type: ignore[import-untyped]
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from athanor.contract.columns import Role
from athanor.contract.contract import Contract, read_contract
from athanor.contract.evolution.packages import major_of
from athanor.contract.v1 import options_pb2
from athanor.errors import ContractError, NotFoundError

# For folders that hold contracts alone. A file of the same name in a folder comes first.
_OPTIONS: Final = FileDescriptorSet(
    file=[FileDescriptorProto.FromString(options_pb2.DESCRIPTOR.serialized_pb)]
).SerializeToString()


def find_protos(root: Path, projects: Iterable[str] = ()) -> tuple[Path, ...]:
    """The .proto files of contracts: `rain/v1/rain.proto` of project `rain`.

    Args:
        root: folder that imports of .proto files start from.
        projects: whose; of all when empty.

    Raises:
        NotFoundError: there is no such project.
    """
    found = sorted(path for path in root.glob("*/*/*.proto") if path.stem == path.parent.parent.name)
    known = {path.stem for path in found}
    wanted = set(projects) or known
    if unknown := sorted(wanted - known):
        raise NotFoundError(
            f"{root} holds no contract of {', '.join(unknown)}, such as {unknown[0]}/v1/{unknown[0]}.proto; "
            f"projects that have one: {', '.join(sorted(known)) or 'none'}"
        )
    return tuple(path for path in found if path.stem in wanted)


def package_at(path: Path) -> str:
    """The proto package of a file by its folders: "rain.v1" of `rain/v1/rain.proto`."""
    return ".".join(path.absolute().parts[-3:-1])


def compile_contract(path: Path, root: Path) -> Contract:
    """Compiles a .proto file and reads its contract.

    Args:
        root: folder that imports of .proto files start from.

    Raises:
        ContractError: it does not compile, which protoc has printed; or its proto package has no number or differs from
            its folders; or it declares no contract. A line for each problem.
    """
    file = _compile(path, root)
    if file.package != package_at(path):
        raise ContractError(
            f"{path} declares `package {file.package}`; by its folders it must be `package {package_at(path)}`"
        )
    major_of(file.package)
    if len(file.services_by_name) != 1:
        names = ", ".join(file.services_by_name) or "none"
        raise ContractError(f"{path} needs exactly one service with a method Predict, it has {names}")
    (service,) = file.services_by_name.values()
    outcomes = [message for message in file.message_types_by_name.values() if _has_label(message)]
    if len(outcomes) != 1:
        names = ", ".join(message.name for message in outcomes) or "none"
        raise ContractError(
            f"{path} needs exactly one message with a column of ROLE_LABEL, the outcome; it has {names}"
        )
    return read_contract(service, outcomes[0])


def _compile(path: Path, root: Path) -> FileDescriptor:
    name = path.absolute().relative_to(root.absolute()).as_posix()
    own = Path(grpc_tools.__file__).with_name("_proto")
    with TemporaryDirectory() as folder:
        options, compiled = Path(folder) / "options", Path(folder) / "compiled"
        options.write_bytes(_OPTIONS)
        arguments = (f"-I{root}", f"-I{own}", f"--descriptor_set_in={options}", "--include_imports")
        if grpc_tools.protoc.main(["protoc", *arguments, f"--descriptor_set_out={compiled}", name]):
            raise ContractError(f"{path} does not compile; protoc says why above")
        files = FileDescriptorSet.FromString(compiled.read_bytes())
    # Of its own: the options of this program stay as they are.
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool.FindFileByName(name)


def _has_label(message: Descriptor) -> bool:
    options = (field.GetOptions().Extensions[options_pb2.column] for field in message.fields)
    return any(Role.LABEL.value in option.roles for option in options)
