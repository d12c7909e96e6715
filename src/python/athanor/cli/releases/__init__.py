"""Commands about one release."""
