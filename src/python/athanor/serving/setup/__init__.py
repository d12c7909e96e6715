"""How a service is set up: settings, and the paths of its files."""
