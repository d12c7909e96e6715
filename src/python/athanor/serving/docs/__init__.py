"""What a service says about itself: OpenAPI, JSON schemas, and the page."""
