"""Layer `features`: functions of arrays, the same in training and in serving."""
