"""Which species is this penguin? On the 344 penguins that were measured on the Palmer Archipelago."""
