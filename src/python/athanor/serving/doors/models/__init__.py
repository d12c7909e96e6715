"""The models that a replica answers for, and their shadows."""
