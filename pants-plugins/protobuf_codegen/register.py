"""Python and gRPC code from `protobuf_sources`, made by tools that the lock pins."""

from __future__ import annotations

from collections.abc import Iterable

from pants.backend.codegen.protobuf import protobuf_dependency_inference, tailor
from pants.backend.codegen.protobuf.python import additional_fields, python_protobuf_module_mapper
from pants.backend.codegen.protobuf.target_types import (
    ProtobufSourcesGeneratorTarget,
    ProtobufSourceTarget,
)
from pants.backend.codegen.protobuf.target_types import rules as stock_target_rules
from pants.backend.python.dependency_inference import module_mapper
from pants.core.util_rules import source_files, stripped_source_files
from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from protobuf_codegen import inference
from protobuf_codegen import rules as codegen


def rules() -> Iterable[Rule | UnionRule]:
    """Return our own generator and inference, and everything of the stock backend that downloads nothing."""
    return [
        *codegen.rules(),
        *inference.rules(),
        *additional_fields.rules(),
        *module_mapper.rules(),
        *protobuf_dependency_inference.rules(),
        *python_protobuf_module_mapper.rules(),
        *source_files.rules(),
        *stripped_source_files.rules(),
        *tailor.rules(),
        *stock_target_rules(),
    ]


def target_types() -> Iterable[type[Target]]:
    """Return the stock targets, so that BUILD files and `tailor` read as the Pants documentation says."""
    return [ProtobufSourcesGeneratorTarget, ProtobufSourceTarget]
