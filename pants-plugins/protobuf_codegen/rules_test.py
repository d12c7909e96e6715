"""Real protoc on real files, in a small repository."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from textwrap import dedent

import pytest
from pants.backend.codegen.protobuf.tailor import PutativeProtobufTargetsRequest
from pants.backend.codegen.protobuf.target_types import ProtobufSourceField, ProtobufSourcesGeneratorTarget
from pants.backend.python import target_types_rules
from pants.backend.python.target_types import PythonRequirementTarget
from pants.core.goals.tailor import AllOwnedSources, PutativeTarget, PutativeTargets
from pants.core.goals.tailor import rules as tailor_rules
from pants.engine.addresses import Address
from pants.engine.fs import DigestContents
from pants.engine.target import GeneratedSources, HydratedSources, HydrateSourcesRequest
from pants.source.source_root import NoSourceRootError
from pants.testutil.rule_runner import QueryRule, RuleRunner, engine_error

from local_tools.register import set_up
from protobuf_codegen import register
from protobuf_codegen.rules import GeneratePythonFromProtobuf, ProtocError, ProtoTree, in_repository

FILES = {
    "3rdparty/BUILD": dedent(
        """
        for name in ["protobuf", "grpcio", "grpcio-tools", "mypy-protobuf"]:
            python_requirement(name=name, requirements=[name])
        """
    ),
    "src/protos/BUILD": "__defaults__({protobuf_sources: dict(python_source_root='src/python')})",
    "src/protos/units/v1/BUILD": "protobuf_sources()",
    "src/protos/units/v1/units.proto": dedent(
        """
        syntax = "proto3";
        package units.v1;
        import "units/v1/prefix.proto";
        message Length { double metres = 1; Prefix prefix = 2; }
        """
    ),
    "src/protos/units/v1/prefix.proto": 'syntax = "proto3";\npackage units.v1;\nenum Prefix { NONE = 0; }',
    "src/protos/trips/v1/BUILD": "protobuf_sources(grpc=True)",
    "src/protos/trips/v1/trips.proto": dedent(
        """
        syntax = "proto3";
        package trips.v1;
        import "google/protobuf/timestamp.proto";
        import "units/v1/units.proto";
        message Trip { units.v1.Length length = 1; google.protobuf.Timestamp start = 2; }
        service Trips { rpc Last(Trip) returns (Trip); }
        """
    ),
    "src/python/BUILD": "",
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract the wheels from the PEX that the BUILD file names: the lock's versions, without a network."""
    folder = tmp_path_factory.mktemp("wheels")
    built = "pants-plugins.protobuf_codegen"
    with tarfile.open(Path(built, "generator_archive.tar")) as archive:
        archive.extract(f"{built}/generator.pex", folder)
    env = {
        "PEX_TOOLS": "1",
        "PEX_PYTHON_PATH": str(set_up().interpreters),
        "PEX_ROOT": str(folder / "root"),
    }
    command = [sys.executable, str(folder / built / "generator.pex"), "repository", "extract", f"--dest-dir={folder}"]
    subprocess.run(command, env={**os.environ, **env}, check=True)
    return folder


@pytest.fixture(scope="module")
def runner(wheels: Path) -> RuleRunner:
    """Build Pants with our rules once: it takes seconds, and prepares protoc once for all tests."""
    runner = RuleRunner(
        rules=[
            *register.rules(),
            *tailor_rules(),
            *target_types_rules.rules(),
            QueryRule(HydratedSources, [HydrateSourcesRequest]),
            QueryRule(GeneratedSources, [GeneratePythonFromProtobuf]),
            QueryRule(PutativeTargets, [PutativeProtobufTargetsRequest, AllOwnedSources]),
        ],
        target_types=[*register.target_types(), PythonRequirementTarget],
    )
    runner.set_options(
        [
            "--source-root-patterns=['src/protos', 'src/python']",
            "--python-interpreter-constraints=['CPython==3.11.*']",
            "--python-repos-indexes=[]",
            f"--python-repos-find-links=['{wheels.as_uri()}']",
            "--protobuf-codegen-requirements=['//3rdparty:grpcio-tools', '//3rdparty:mypy-protobuf']",
        ],
        env_inherit={"PATH"},
    )
    return runner


@pytest.fixture
def repository(runner: RuleRunner) -> RuleRunner:
    """Return a repository with a message, and a service in another package that imports it."""
    runner.write_files(FILES)
    return runner


def generate(repository: RuleRunner, folder: str, name: str) -> dict[str, str]:
    """Return the text of each file generated from `<folder>/<name>`."""
    target = repository.get_target(Address(folder, relative_file_path=name))
    protos = repository.request(HydratedSources, [HydrateSourcesRequest(target[ProtobufSourceField])])
    generated = repository.request(GeneratedSources, [GeneratePythonFromProtobuf(protos.snapshot, target)])
    contents = repository.request(DigestContents, [generated.snapshot.digest])
    return {file.path: file.content.decode() for file in contents}


def classes(stub: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(stub)) if isinstance(node, ast.ClassDef)}


def test_messages_become_a_module_and_its_stub_below_the_declared_source_root(repository: RuleRunner) -> None:
    generated = generate(repository, "src/protos/units/v1", "units.proto")

    assert set(generated) == {"src/python/units/v1/units_pb2.py", "src/python/units/v1/units_pb2.pyi"}
    assert "Length" in classes(generated["src/python/units/v1/units_pb2.pyi"])


def test_a_service_becomes_grpc_code_too_and_only_for_the_file_asked_for(repository: RuleRunner) -> None:
    generated = generate(repository, "src/protos/trips/v1", "trips.proto")

    module = "src/python/trips/v1/trips_pb2"
    assert set(generated) == {f"{module}.py", f"{module}.pyi", f"{module}_grpc.py", f"{module}_grpc.pyi"}
    assert {"TripsStub", "TripsServicer"} <= classes(generated[f"{module}_grpc.pyi"])
    assert "from units.v1 import units_pb2" in generated[f"{module}.py"]


def test_without_a_declared_source_root_the_code_stays_beside_its_proto(repository: RuleRunner) -> None:
    repository.write_files({"src/protos/BUILD": ""})

    generated = generate(repository, "src/protos/units/v1", "units.proto")

    assert set(generated) == {"src/protos/units/v1/units_pb2.py", "src/protos/units/v1/units_pb2.pyi"}


def test_a_declared_source_root_must_be_one(repository: RuleRunner) -> None:
    repository.write_files({"src/protos/units/v1/BUILD": "protobuf_sources(python_source_root='nowhere')"})

    with engine_error(NoSourceRootError, contains="nowhere"):
        generate(repository, "src/protos/units/v1", "units.proto")


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("message Length {\n  double metres = 1\n}", 'src/protos/units/v1/units.proto:4:1: Expected ";".'),
        ("message Length {\n  doubel metres = 1;\n}", 'src/protos/units/v1/units.proto:3:3: "doubel" is not defined.'),
    ],
    ids=["syntax", "meaning"],
)
@pytest.mark.parametrize("asked_for", ["units", "trips"])
def test_an_error_names_the_file_in_the_repository_and_its_line(
    repository: RuleRunner, broken: str, error: str, asked_for: str
) -> None:
    repository.write_files({"src/protos/units/v1/units.proto": f'syntax = "proto3";\n{broken}\n'})

    with engine_error(ProtocError, contains=f"\n{error}"):
        generate(repository, f"src/protos/{asked_for}/v1", f"{asked_for}.proto")


def test_an_import_that_is_not_there_is_an_error_of_the_file_that_imports(repository: RuleRunner) -> None:
    repository.write_files({"src/protos/units/v1/units.proto": '\nimport "gone.proto";\n'})

    with engine_error(ProtocError, contains='src/protos/units/v1/units.proto:2:1: Import "gone.proto" was not found'):
        generate(repository, "src/protos/units/v1", "units.proto")


def test_only_names_at_the_start_of_a_line_become_paths() -> None:
    files = ("protos/a/a.proto", "protos/b.proto", "more/c.proto")
    tree = ProtoTree(digest=None, files=files, roots=("more", "protos"))  # type: ignore[arg-type]

    message = in_repository("a/a.proto:1:2: see b.proto: 3\nc.proto: gone\nelse.proto:1:1: no\n", tree)

    assert message == "protos/a/a.proto:1:2: see b.proto: 3\nmore/c.proto: gone\nelse.proto:1:1: no"


def test_tailor_proposes_a_target_for_protos_that_have_none(repository: RuleRunner) -> None:
    repository.write_files({"src/protos/new/v1/new.proto": ""})

    owned = AllOwnedSources([file for file in FILES if file.endswith(".proto")])
    found = repository.request(PutativeTargets, [PutativeProtobufTargetsRequest(("src/protos/new/v1",)), owned])

    assert list(found) == [
        PutativeTarget.for_target_type(
            ProtobufSourcesGeneratorTarget,
            path="src/protos/new/v1",
            name=None,
            triggering_sources=["new.proto"],
        )
    ]
