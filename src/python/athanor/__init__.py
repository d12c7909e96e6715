"""Athanor turns a table into a running, trustworthy prediction service, and can prove how.

Each folder is a layer: `system`, `cluster` and `pages` at the bottom; `contract`, `features`, `data`, `release`,
`training`, `registry`, `serving` and `monitoring`; `client`; and `cli`, which composes them. The modules beside this
file serve every layer and import none but `system`. `src/python/BUILD` says which layer may import which.

No package's `__init__` imports anything of ours. So a change affects only the users of the changed module, and a
program loads only what it needs.
"""

from pkgutil import extend_path

# Generated code may lie in another root, as after `./pants export-codegen`.
__path__ = extend_path(__path__, __name__)
