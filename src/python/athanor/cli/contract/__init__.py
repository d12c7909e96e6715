"""Commands about contracts: read them, and compare them with earlier ones."""
