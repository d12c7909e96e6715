"""Layer `contract`: a protobuf message defines a row, and all else about columns derives from its options."""
