"""A contract as bytes: the protobuf files that declare it, so that it can be read without generated code."""

from collections.abc import Iterator

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from athanor.contract.contract import Contract, read_contract
from athanor.errors import ContractError


def to_descriptors(contract: Contract) -> bytes:
    """A serialized `FileDescriptorSet` of the files that declare a contract, each after those that it imports.

    >>> restored = from_descriptors(to_descriptors(contract), contract.service.full_name, contract.outcome.full_name)
    >>> restored.fingerprint == contract.fingerprint, restored.row is contract.row
    (True, False)
    """
    files: dict[str, FileDescriptor] = {}
    for file in (contract.service.file, contract.outcome.file):
        files.update((each.name, each) for each in _with_imports(file))
    declared = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(declared.file.add())
    return declared.SerializeToString(deterministic=True)


def _with_imports(file: FileDescriptor) -> Iterator[FileDescriptor]:
    for imported in file.dependencies:
        yield from _with_imports(imported)
    yield file


def from_descriptors(content: bytes, service: str, outcome: str) -> Contract:
    """Reads a contract in a pool of its own, beside any other version of its messages.

    Args:
        content: as of `to_descriptors`.
        service, outcome: full names, "flight_delay.v1.FlightDelayService".

    Raises:
        ContractError: the content is no set of protobuf files, lacks the service or the outcome, or is no contract.
    """
    pool = DescriptorPool()
    try:
        for file in FileDescriptorSet.FromString(content).file:
            pool.Add(file)
        found = pool.FindServiceByName(service), pool.FindMessageTypeByName(outcome)
    except (DecodeError, KeyError, TypeError) as error:
        raise ContractError(f"the contract's protobuf files cannot be read: {error}") from None
    return read_contract(*found)
