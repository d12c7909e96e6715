"""Athanor takes a table to a running, trustworthy prediction service and can prove how.

The modules beside this file know nothing of any layer and are for all of them: errors, the home, progress, projects,
the version. The folders are the layers. None of their `__init__` imports anything: who imports a layer's module names
it, so that a change affects only what uses that module, and a program loads only what it needs.
"""
