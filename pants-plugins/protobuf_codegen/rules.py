"""Runs protoc on one `.proto` file and hands its output to Pants as Python sources."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from pants.backend.codegen.protobuf.python.additional_fields import PythonSourceRootField
from pants.backend.codegen.protobuf.target_types import (
    ProtobufDependenciesField,
    ProtobufGrpcToggleField,
    ProtobufSourceField,
)
from pants.backend.python.target_types import EntryPoint, PythonSourceField
from pants.backend.python.util_rules import pex_from_targets
from pants.backend.python.util_rules.pex import PexRequest, VenvPex, VenvPexProcess, VenvPexRequest
from pants.backend.python.util_rules.pex_environment import PexEnvironment
from pants.backend.python.util_rules.pex_from_targets import PexFromTargetsRequest
from pants.core.util_rules.source_files import SourceFiles, SourceFilesRequest
from pants.engine.addresses import Addresses, UnparsedAddressInputs
from pants.engine.fs import AddPrefix, CreateDigest, Digest, Directory, MergeDigests, RemovePrefix, Snapshot
from pants.engine.process import FallibleProcessResult
from pants.engine.rules import Get, MultiGet, Rule, collect_rules, rule
from pants.engine.target import (
    DependenciesRequest,
    GeneratedSources,
    GenerateSourcesRequest,
    Target,
    Targets,
)
from pants.engine.unions import UnionRule
from pants.source.source_root import SourceRoot, SourceRootRequest, SourceRootsRequest, SourceRootsResult
from pants.util.logging import LogLevel

from protobuf_codegen.subsystem import ProtobufCodegen

logger = logging.getLogger(__name__)

OUTPUT = "__generated"
STUB_PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


class ProtocError(Exception):
    """protoc refused a file. The message is protoc's own, with paths as in the repository."""


class GeneratePythonFromProtobuf(GenerateSourcesRequest):
    """Declares to Pants that a `.proto` file can become Python."""

    input = ProtobufSourceField
    output = PythonSourceField


@dataclass(frozen=True)
class ProtocTool:
    """protoc as a Python environment, with the plug-ins that write type stubs beside it."""

    pex: VenvPex


@dataclass(frozen=True)
class ProtoTree:
    """A `.proto` file's directory tree: itself, everything that it imports, and the folders imports start from."""

    digest: Digest
    files: tuple[str, ...]
    roots: tuple[str, ...]


@dataclass(frozen=True)
class ProtoTreeRequest:
    """Asks for the tree of one target."""

    target: Target


@rule(desc="Prepare protoc from the lock", level=LogLevel.DEBUG)
async def prepare_protoc(options: ProtobufCodegen, pex_environment: PexEnvironment) -> ProtocTool:
    """Build the generator from the lock, as one environment that all files share."""
    addresses = await Get(
        Addresses,
        UnparsedAddressInputs(
            options.requirements,
            owning_address=None,
            description_of_origin=f"the option `[{options.options_scope}].requirements`",
        ),
    )
    pex_request = await Get(
        PexRequest,
        PexFromTargetsRequest(
            addresses,
            output_filename="protoc.pex",
            internal_only=True,
            include_source_files=False,
            main=EntryPoint("grpc_tools.protoc"),
            description="Building protoc.pex",
        ),
    )
    in_sandbox = pex_environment.in_sandbox(working_directory=None)
    return ProtocTool(await Get(VenvPex, VenvPexRequest(pex_request, in_sandbox, bin_names=STUB_PLUGINS)))


@rule(level=LogLevel.DEBUG)
async def collect_proto_tree(request: ProtoTreeRequest) -> ProtoTree:
    """Collect the imports too: protoc reads them, though it generates nothing for them."""
    protos, unread = {request.target.address: request.target}, [request.target]
    # Only protos, level by level: protoc does not need the libraries of generated code, which may be large.
    while unread:
        found = await MultiGet(Get(Targets, DependenciesRequest(proto[ProtobufDependenciesField])) for proto in unread)
        known = {target.address: target for targets in found for target in targets}
        unread = [tgt for at, tgt in known.items() if at not in protos and tgt.has_field(ProtobufSourceField)]
        protos.update((proto.address, proto) for proto in unread)
    sources = await Get(SourceFiles, SourceFilesRequest(proto[ProtobufSourceField] for proto in protos.values()))
    located = await Get(SourceRootsResult, SourceRootsRequest, SourceRootsRequest.for_files(sources.files))
    roots = sorted({root.path for root in located.path_to_root.values()})
    return ProtoTree(sources.snapshot.digest, sources.files, tuple(roots))


def protoc_arguments(tool: ProtocTool, roots: Iterable[str], source: str, *, grpc: bool) -> tuple[str, ...]:
    """Return the command line that generates one file, with its stubs, and gRPC code if asked for."""
    outputs = [f"--python_out={OUTPUT}", f"--mypy_out=quiet:{OUTPUT}"]
    if grpc:
        outputs += [f"--grpc_python_out={OUTPUT}", f"--mypy_grpc_out=quiet:{OUTPUT}"]
    return (
        *(f"-I{root}" for root in roots),
        *(f"--plugin={name}={tool.pex.bin[name].argv0}" for name in STUB_PLUGINS),
        *outputs,
        source,
    )


def in_repository(message: str, tree: ProtoTree) -> str:
    """Return protoc's message with the paths that an editor can open: protoc names files as they are imported."""
    paths = {
        PurePath(file).relative_to(root).as_posix(): file
        for root in tree.roots
        for file in tree.files
        if PurePath(root) in PurePath(file).parents
    }
    return re.sub(r"^[^\s:]+(?=:)", lambda name: paths.get(name[0], name[0]), message, flags=re.MULTILINE).strip()


@rule(desc="Generate Python from Protobuf", level=LogLevel.DEBUG)
async def generate_python(request: GeneratePythonFromProtobuf, tool: ProtocTool) -> GeneratedSources:
    """Generate one file's modules and put them below the Python source root that its target names."""
    target = request.protocol_target
    tree, out, root = await MultiGet(
        Get(ProtoTree, ProtoTreeRequest(target)),
        Get(Digest, CreateDigest([Directory(OUTPUT)])),
        Get(SourceRoot, SourceRootRequest, python_source_root(target)),
    )
    source = target[ProtobufSourceField].file_path
    result = await Get(
        FallibleProcessResult,
        VenvPexProcess(
            tool.pex,
            argv=protoc_arguments(tool, tree.roots, source, grpc=target[ProtobufGrpcToggleField].value),
            input_digest=await Get(Digest, MergeDigests([tree.digest, out])),
            output_directories=(OUTPUT,),
            description=f"Generate Python from {source}",
            level=LogLevel.DEBUG,
        ),
    )
    message = in_repository(result.stderr.decode(errors="replace"), tree)
    if result.exit_code:
        raise ProtocError(f"protoc failed on {source}:\n\n{message}")
    if message:
        logger.warning(message)
    generated = await Get(Digest, RemovePrefix(result.output_digest, OUTPUT))
    return GeneratedSources(await Get(Snapshot, AddPrefix(generated, "" if root.path == "." else root.path)))


def python_source_root(target: Target) -> SourceRootRequest:
    """Return the folder of generated modules: the target's option, a source root, or else its own root."""
    declared = target[PythonSourceRootField].value
    return SourceRootRequest(PurePath(declared)) if declared else SourceRootRequest.for_target(target)


def rules() -> Iterable[Rule | UnionRule]:
    """Return the rules of this module."""
    return [
        *collect_rules(),
        *pex_from_targets.rules(),
        UnionRule(GenerateSourcesRequest, GeneratePythonFromProtobuf),
    ]
