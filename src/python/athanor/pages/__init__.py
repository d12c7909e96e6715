"""Layer `pages`: base template, style, wording and drawing of every HTML page."""
