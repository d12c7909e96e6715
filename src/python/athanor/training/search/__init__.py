"""The search for the best candidate and parameters, and where its fits run."""
