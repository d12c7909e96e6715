"""Who may call a service."""
