"""The documentation page of a service, with a form that asks it."""

from athanor.serving.page.rendering import render_gate, render_page

__all__ = ["render_gate", "render_page"]
