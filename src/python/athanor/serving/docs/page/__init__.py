"""The documentation page of a service, with a form that sends a row."""
