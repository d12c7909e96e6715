"""Contract columns as frames and Arrow tables, operations on keys, and grouping in bounded memory."""
