"""Dependencies that Pants infers in a small repository."""

from __future__ import annotations

from textwrap import dedent

import pytest
from pants.backend.codegen.protobuf.target_types import ProtobufDependenciesField
from pants.backend.python import target_types_rules
from pants.backend.python.dependency_inference import rules as python_inference
from pants.backend.python.target_types import (
    PythonRequirementTarget,
    PythonSourcesGeneratorTarget,
    PythonSourceTarget,
)
from pants.engine.addresses import Address, Addresses
from pants.engine.target import Dependencies, DependenciesRequest
from pants.testutil.rule_runner import QueryRule, RuleRunner, engine_error

from protobuf_codegen import register
from protobuf_codegen.inference import RuntimeLibraryError

OURS = dedent(
    """
    python_requirement(name="protobuf", requirements=["protobuf"], resolve="ours")
    python_requirement(name="grpcio", requirements=["grpcio"], resolve="ours")
    python_requirement(
        name="grpc-stubs", requirements=["types-grpcio"], type_stub_modules=["grpc"], resolve="ours"
    )
    python_requirement(name="other", requirements=["google-other"], modules=["google"], resolve="ours")
    """
)


@pytest.fixture
def repository() -> RuleRunner:
    """Build a repository of two resolves, with two protos of which one has a service."""
    runner = RuleRunner(
        rules=[
            *register.rules(),
            *python_inference.rules(),
            *target_types_rules.rules(),
            QueryRule(Addresses, [DependenciesRequest]),
        ],
        target_types=[
            *register.target_types(),
            PythonRequirementTarget,
            PythonSourcesGeneratorTarget,
            PythonSourceTarget,
        ],
    )
    runner.set_options(
        [
            "--source-root-patterns=['protos', 'python']",
            "--python-enable-resolves",
            "--python-resolves={'ours': 'ours.lock', 'theirs': 'theirs.lock'}",
            "--python-default-resolve=ours",
            "--python-infer-use-rust-parser",
        ],
        env_inherit={"PATH"},
    )
    runner.write_files(
        {
            "3rdparty/BUILD": OURS,
            "protos/units/v1/BUILD": "protobuf_sources()",
            "protos/units/v1/units.proto": "message Length {}",
            "protos/trips/v1/BUILD": "protobuf_sources(grpc=True, python_source_root='python')",
            "protos/trips/v1/trips.proto": 'import "units/v1/units.proto";\nimport "google/protobuf/any.proto";',
            "python/app/BUILD": "python_sources()",
            "python/app/client.py": "from trips.v1 import trips_pb2_grpc",
            "python/app/model.py": "from trips.v1.trips_pb2 import Trip",
            "python/app/units.py": "from units.v1 import units_pb2",
        }
    )
    return runner


def dependencies(repository: RuleRunner, folder: str, name: str) -> set[str]:
    """Return the addresses of the dependencies of `<folder>/<name>`."""
    target = repository.get_target(Address(folder, relative_file_path=name))
    field = target[ProtobufDependenciesField if name.endswith(".proto") else Dependencies]
    return {address.spec for address in repository.request(Addresses, [DependenciesRequest(field)])}


@pytest.mark.parametrize(
    ("module", "proto"),
    [
        ("client.py", "protos/trips/v1/trips.proto"),
        ("model.py", "protos/trips/v1/trips.proto"),
        ("units.py", "protos/units/v1/units.proto"),
    ],
)
def test_who_imports_generated_code_depends_on_its_proto(repository: RuleRunner, module: str, proto: str) -> None:
    assert dependencies(repository, "python/app", module) == {proto}


def test_messages_need_protobuf_of_their_resolve_and_no_other_library_below_google(repository: RuleRunner) -> None:
    assert dependencies(repository, "protos/units/v1", "units.proto") == {"3rdparty:protobuf"}


def test_a_service_needs_grpc_with_its_stubs_and_what_it_imports(repository: RuleRunner) -> None:
    assert dependencies(repository, "protos/trips/v1", "trips.proto") == {
        "3rdparty:protobuf",
        "3rdparty:grpcio",
        "3rdparty:grpc-stubs",
        "protos/units/v1/units.proto",
    }


def test_a_module_inside_a_regular_package_needs_what_the_package_imports(repository: RuleRunner) -> None:
    repository.write_files(
        {"python/units/BUILD": "python_sources()", "python/units/__init__.py": "from app import model"}
    )

    assert "python/units/__init__.py" in dependencies(repository, "protos/units/v1", "units.proto")
    assert "python/units/__init__.py" not in dependencies(repository, "protos/trips/v1", "trips.proto")


def test_a_library_of_another_resolve_does_not_count(repository: RuleRunner) -> None:
    repository.write_files({"protos/units/v1/BUILD": "protobuf_sources(python_resolve='theirs')"})

    with engine_error(RuntimeLibraryError, contains="`google.protobuf`, so the resolve `theirs` must have exactly one"):
        dependencies(repository, "protos/units/v1", "units.proto")


def test_two_libraries_for_one_module_are_an_error_that_names_both(repository: RuleRunner) -> None:
    twice = 'python_requirement(name="fork", requirements=["fork"], modules=["google.protobuf"])'
    repository.write_files({"3rdparty/BUILD": f"{OURS}\n{twice}"})

    with engine_error(RuntimeLibraryError, contains="Found: 3rdparty:fork, 3rdparty:protobuf."):
        dependencies(repository, "protos/units/v1", "units.proto")
