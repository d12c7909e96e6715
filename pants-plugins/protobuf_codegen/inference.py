"""What generated code needs to run and to be type-checked, found among the requirements of its resolve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.backend.codegen.protobuf.python.additional_fields import ProtobufPythonResolveField
from pants.backend.codegen.protobuf.target_types import (
    ProtobufDependenciesField,
    ProtobufGrpcToggleField,
)
from pants.backend.python.dependency_inference.module_mapper import (
    ModuleProviderType,
    ThirdPartyPythonModuleMapping,
)
from pants.backend.python.subsystems.setup import PythonSetup
from pants.engine.addresses import Address
from pants.engine.rules import Rule, collect_rules, rule
from pants.engine.target import FieldSet, InferDependenciesRequest, InferredDependencies
from pants.engine.unions import UnionRule


class RuntimeLibraryError(Exception):
    """A resolve has no requirement, or several, for a module that generated code imports."""


@dataclass(frozen=True)
class RuntimeFieldSet(FieldSet):
    """The fields of a `.proto` target that decide what its Python code needs."""

    required_fields = (ProtobufDependenciesField, ProtobufPythonResolveField, ProtobufGrpcToggleField)

    dependencies: ProtobufDependenciesField
    resolve: ProtobufPythonResolveField
    grpc: ProtobufGrpcToggleField

    def modules(self) -> tuple[str, ...]:
        """Return what the generated code imports from others."""
        return ("google.protobuf", "grpc") if self.grpc.value else ("google.protobuf",)


class InferRuntimeLibraries(InferDependenciesRequest[RuntimeFieldSet]):
    """Asks for the requirements behind one `.proto` target."""

    infer_from = RuntimeFieldSet


def libraries_for(
    module: str, mapping: ThirdPartyPythonModuleMapping, *, resolve: str, needed_by: Address
) -> list[Address]:
    """Return the requirement that brings `module`, and those with its type stubs, which not every library needs."""
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


@rule(desc="Infer the libraries that code generated from Protobuf needs")
async def infer_runtime_libraries(
    request: InferRuntimeLibraries, mapping: ThirdPartyPythonModuleMapping, python_setup: PythonSetup
) -> InferredDependencies:
    """Add the libraries to the `.proto` target, so whatever imports its code gets them without naming them."""
    fields = request.field_set
    resolve = fields.resolve.normalized_value(python_setup)
    return InferredDependencies(
        address
        for module in fields.modules()
        for address in libraries_for(module, mapping, resolve=resolve, needed_by=fields.address)
    )


def rules() -> Iterable[Rule | UnionRule]:
    """Return the rules of this module."""
    return [*collect_rules(), UnionRule(InferDependenciesRequest, InferRuntimeLibraries)]
