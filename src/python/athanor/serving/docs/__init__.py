"""Documentation of a service: OpenAPI, JSON Schemas and the page."""
