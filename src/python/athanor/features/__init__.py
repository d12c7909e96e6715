"""Layer `features`: functions of arrays, traced once into the graph of a release."""
