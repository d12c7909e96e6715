"""Layer `features`: arrays in, arrays out, the same function in training and in serving."""
