"""Where raw tables come from, and how they are kept as they came."""
