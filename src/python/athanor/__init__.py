"""Athanor takes a table to a running, trustworthy prediction service and can prove how.

The modules beside this file know nothing of any layer and are for all of them: `errors`, `home`, `progress`,
`projects`, `version`, and `terminal` for what the command-line apps share. The folders are the layers.
"""
