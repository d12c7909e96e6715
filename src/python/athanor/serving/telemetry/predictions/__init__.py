"""The log of what was answered: rows with their predictions, for all models of a replica."""
