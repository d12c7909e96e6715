"""How a contract may change: what breaks callers or stored rows, and the package that comes next."""
