"""Contract columns as frames and Arrow tables, their keys, and rows grouped in bounded memory."""
