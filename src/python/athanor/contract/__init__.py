"""Layer `contract`: a protobuf message defines a row, and all else about columns derives from its options."""

from pkgutil import extend_path

# `athanor.contract.v1` is generated, and may lie in another root, as after `./pants export-codegen`.
__path__ = extend_path(__path__, __name__)
