"""Which release answers, and how questions are answered together."""
