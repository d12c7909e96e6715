"""Layer `contract`: one protobuf message says what a row is; everything about columns is read from it."""
