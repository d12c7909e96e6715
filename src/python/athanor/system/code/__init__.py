"""Which code runs: its sources, its binary, what children import, and a copy of it that stays."""
