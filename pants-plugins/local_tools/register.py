"""Pants' options that differ by machine: where the interpreters and the pex tool are.

Pants calls `rules` at the start of each run, before it reads options, so that what is set here is their default.
"""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.util_rules.pex_cli import PexCli
from pants.core.subsystems.python_bootstrap import PythonBootstrapSubsystem
from pants.engine.platform import Platform
from pants.option.global_options import LocalStoreOptions
from pants.option.option_types import EnumOption, StrListOption

from local_tools.pex_file import pex_version
from local_tools.tools import Tools, find_or_make_tools


class PipVersion(enum.Enum):
    """Versions that Pants 2.17.1 lists take 1.6 times as long for our lock: they compare each link with each tag."""

    PINNED = "26.2"


def rules() -> Iterable[object]:
    tools = set_up()
    # Pants names this interpreter in each process it runs, and caches a result under the process. With one name for all
    # installations of Pants they share results, and a new installation starts with the old one's.
    sys.executable = str(tools.pants_python)
    return ()


def set_up() -> Tools:
    """Find or make this machine's tools, and make them the defaults of Pants' options."""
    # The daemon keeps PATH and HOME; where XDG_CACHE_HOME is, Pants found out before.
    cache = Path(LocalStoreOptions.store_dir).parents[1]
    tools = find_or_make_tools(cache, os.environ)
    set_defaults(tools)
    return tools


def set_defaults(tools: Tools) -> None:
    """Set the defaults of options that name paths of this machine."""
    version = f"v{pex_version()}"
    known = [f"{version}|{platform.value}|{tools.pex_digest()}" for platform in Platform]
    PexCli.default_version = version
    PexCli.default_url_template = tools.pex.as_uri()
    PexCli.default_known_versions = known  # type: ignore[method-assign]  # to mypy a class property is a method
    # Defaults of the others are no attributes of their classes.
    PythonSetup.pip_version = EnumOption(
        "--pip-version",
        default=PipVersion.PINNED,  # type: ignore[arg-type]  # Pants' own enum has no such member
        help="The version of pip that resolves requirements.",
        advanced=True,
    )
    PythonBootstrapSubsystem.EnvironmentAware.search_path = StrListOption(
        "--search-path",
        default=[str(tools.interpreters)],
        help="Folders of Python interpreters; by default the one with links to those that `local_tools` found.",
        advanced=True,
    )
