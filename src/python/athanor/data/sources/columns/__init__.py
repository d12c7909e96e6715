"""Types of columns: declared, cast to, and unified over the parts of a table."""
