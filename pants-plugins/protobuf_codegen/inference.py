"""Dependencies of generated code: libraries of its resolve, their type stubs, and the packages around it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from pants.backend.codegen.protobuf.python.additional_fields import ProtobufPythonResolveField
from pants.backend.codegen.protobuf.target_types import (
    ProtobufDependenciesField,
    ProtobufGrpcToggleField,
    ProtobufSourceField,
)
from pants.backend.python.dependency_inference.module_mapper import (
    FirstPartyPythonModuleMapping,
    ModuleProviderType,
    ThirdPartyPythonModuleMapping,
)
from pants.backend.python.subsystems.setup import PythonSetup
from pants.core.util_rules.stripped_source_files import StrippedFileName, StrippedFileNameRequest
from pants.engine.addresses import Address
from pants.engine.rules import Get, Rule, collect_rules, rule
from pants.engine.target import FieldSet, InferDependenciesRequest, InferredDependencies
from pants.engine.unions import UnionRule


class RuntimeLibraryError(Exception):
    """A resolve has no requirement, or several, for a module that generated code imports."""


@dataclass(frozen=True)
class RuntimeFieldSet(FieldSet):
    """The fields of a `.proto` target that decide the dependencies of its Python code."""

    required_fields = (
        ProtobufSourceField,
        ProtobufDependenciesField,
        ProtobufPythonResolveField,
        ProtobufGrpcToggleField,
    )

    source: ProtobufSourceField
    dependencies: ProtobufDependenciesField
    resolve: ProtobufPythonResolveField
    grpc: ProtobufGrpcToggleField

    def modules(self) -> tuple[str, ...]:
        """Return the libraries that generated code imports."""
        return ("google.protobuf", "grpc") if self.grpc.value else ("google.protobuf",)


class InferRuntimeDependencies(InferDependenciesRequest[RuntimeFieldSet]):
    """Asks for the dependencies of one `.proto` target."""

    infer_from = RuntimeFieldSet


def libraries_for(
    module: str, mapping: ThirdPartyPythonModuleMapping, *, resolve: str, needed_by: Address
) -> list[Address]:
    """Return the requirement that provides `module`, and the ones with its type stubs, if any."""
    # An ancestry above 0 is the owner of a parent package: any library below `google` would pass for protobuf.
    providers = [
        found.provider for found in mapping.providers_for_module(module, resolve=resolve) if found.ancestry == 0
    ]
    libraries = [provider.addr for provider in providers if provider.typ is ModuleProviderType.IMPL]
    if len(libraries) != 1:
        found = ", ".join(address.spec for address in libraries) or "none"
        raise RuntimeLibraryError(
            f"Code generated from {needed_by} imports `{module}`, so the resolve `{resolve}` must have exactly one"
            f" `python_requirement` for it. Found: {found}."
        )
    return [provider.addr for provider in providers]


def packages_around(file: str, mapping: FirstPartyPythonModuleMapping, *, resolve: str) -> list[Address]:
    """Return the `__init__.py` of each regular package that the code generated from `file` becomes a part of.

    Python runs them before the generated module, and Pants puts them beside it, but not what they import.
    """
    return [
        found.provider.addr
        for package in PurePath(file).parents
        for found in mapping.providers_for_module(".".join(package.parts), resolve=resolve)
        if found.ancestry == 0
    ]


@rule(desc="Infer dependencies of code generated from Protobuf")
async def infer_runtime_dependencies(
    request: InferRuntimeDependencies,
    first_party: FirstPartyPythonModuleMapping,
    third_party: ThirdPartyPythonModuleMapping,
    python_setup: PythonSetup,
) -> InferredDependencies:
    """Add it to the `.proto` target, so whatever imports its code gets it without naming it."""
    fields = request.field_set
    resolve = fields.resolve.normalized_value(python_setup)
    file = await Get(StrippedFileName, StrippedFileNameRequest(fields.source.file_path))
    libraries = (
        address
        for module in fields.modules()
        for address in libraries_for(module, third_party, resolve=resolve, needed_by=fields.address)
    )
    return InferredDependencies((*libraries, *packages_around(file.value, first_party, resolve=resolve)))


def rules() -> Iterable[Rule | UnionRule]:
    """Return the rules of this module."""
    return [*collect_rules(), UnionRule(InferDependenciesRequest, InferRuntimeDependencies)]
