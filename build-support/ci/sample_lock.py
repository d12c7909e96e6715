"""A lock in uv's form and its requirements file, for tests."""

from __future__ import annotations

HASH = "    --hash=sha256:" + "0" * 64
FILE = "-r 3rdparty/requirements.txt"
# Alpha requires gamma, beta requires gamma and delta; gamma has two versions.
ENTRIES = (
    f"alpha==1.0 \\\n{HASH}\n    # via {FILE}\n",
    f"Beta-Lib==1.0 ; sys_platform == 'linux' \\\n{HASH} \\\n{HASH}\n    # via {FILE}\n",
    f"delta==1.0 \\\n{HASH}\n    # via beta-lib\n",
    f"gamma==1.0 ; python_full_version < '3.12' \\\n{HASH}\n    # via\n    #   alpha\n    #   beta-lib\n",
    f"gamma==2.0 ; python_full_version >= '3.12' \\\n{HASH}\n    # via\n    #   alpha\n    #   beta-lib\n",
)
LOCK = "".join(("# Made by `./pants lock`\n", *ENTRIES))
REQUIREMENTS = "# by layer\nalpha<3  # because\nbeta_lib[extra] ; sys_platform == 'linux'\n"
