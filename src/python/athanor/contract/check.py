"""Checks the contract in a .proto file within seconds: nothing of its project is built or imported.

Usage: ./pants run src/python/athanor/contract/check.py -- src/protos/rain/v1/rain.proto
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import grpc_tools.protoc  # type: ignore[import-untyped]
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from athanor.contract.columns import Role
from athanor.contract.contract import Contract, read_contract
from athanor.contract.v1 import options_pb2
from athanor.errors import ContractError

_ROOT: Final = Path("src/protos")
_INVALID: Final = 2


def check(path: Path, root: Path = _ROOT) -> Contract:
    """Compiles a .proto file and reads its contract.

    Args:
        root: folder that imports of .proto files start from.

    Raises:
        ContractError: it does not compile, which protoc has printed, or declares no contract. A line for each problem.
    """
    file = _compile(path, root)
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
        compiled = Path(folder) / "files"
        arguments = [f"-I{root}", f"-I{own}", "--include_imports", f"--descriptor_set_out={compiled}", name]
        if grpc_tools.protoc.main(["protoc", *arguments]):
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


def main() -> None:
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    wrong = False
    for path in map(Path, sys.argv[1:]):
        try:
            contract = check(path)
        except ContractError as error:
            wrong = True
            sys.stderr.write(f"{error}\n")
        else:
            label = contract.label.name
            sys.stdout.write(f"{path}: contract {contract.name}, {len(contract.columns)} columns, label {label}\n")
    sys.exit(_INVALID if wrong else 0)


if __name__ == "__main__":
    main()
