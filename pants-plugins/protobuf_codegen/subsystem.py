"""The options of the generator."""

from __future__ import annotations

from pants.option.option_types import StrListOption
from pants.option.subsystem import Subsystem
from pants.util.strutil import help_text, softwrap


# A plain subsystem: Pants' base classes for Python tools cannot take a subset of a lock in requirements style.
class ProtobufCodegen(Subsystem):
    """Where protoc and its plug-ins come from."""

    options_scope = "protobuf-codegen"
    help = help_text(
        """
        Generates Python, gRPC and type stubs from `protobuf_sources`, with `grpc_tools.protoc` and mypy-protobuf.

        Both come out of the lock that the generated code runs with: code refuses a runtime older than its generator.
        """
    )

    requirements = StrListOption(
        default=["//3rdparty/python:requirements#grpcio-tools", "//3rdparty/python:requirements#mypy-protobuf"],
        help=softwrap(
            """
            Addresses of the requirement targets that bring `grpc_tools.protoc`, `protoc-gen-mypy` and
            `protoc-gen-mypy_grpc`. They must share one resolve.
            """
        ),
    )
