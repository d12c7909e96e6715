"""Layer `pages`: template, style, words and drawing of every HTML page."""
