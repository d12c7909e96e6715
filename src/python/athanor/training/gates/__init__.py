"""Gates: conditions that stop a release. Each is declared in a recipe, and each can fail."""
