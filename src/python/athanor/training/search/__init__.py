"""Which candidate, with which parameters, and where its fits run."""
