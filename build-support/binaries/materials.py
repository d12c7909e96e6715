"""The bill of materials of a binary (CycloneDX 1.6): the content of the PEX, joined with the lock's hashes."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from binaries.pex_file import Distribution, PexFile

Pin = tuple[str, str]
"""Name and version of a distribution."""

# Longer ones are whole texts of licences, not names.
_LONGEST_NAME = 100


def make_bill(pex: PexFile, pins: Mapping[Pin, Iterable[str]]) -> str:
    """The bill as JSON: equal for the same binary at any time on any machine.

    Raises:
        ValueError: the lock does not pin a distribution of the binary, or the bill breaks the schema.
    """
    parts = [_component(found, str(pex.info["distributions"][found.wheel]), pins) for found in pex.distributions]
    whole = Component(name=pex.path.name, type=ComponentType.APPLICATION, bom_ref=pex.path.name)
    whole.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=pex.sha256))
    bom = Bom(components=parts, serial_number=uuid.uuid5(uuid.NAMESPACE_OID, pex.sha256))
    bom.metadata.component = whole
    bom.register_dependency(whole, parts)
    text = _without_time(JsonV1Dot6(bom).output_as_string())
    if problem := find_problem(text):
        raise ValueError(f"the bill of {pex.path.name} breaks the schema of CycloneDX 1.6: {problem}")
    return text


def find_problem(bill: str) -> str | None:
    """The first violation of CycloneDX's schema, if any."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill)
    return None if error is None else str(error.data.message)


def read_pins(lock: str) -> dict[Pin, tuple[str, ...]]:
    """The SHA-256 of every file that a lock accepts for a distribution."""
    entries = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", lock)).splitlines()
    return dict(_read_pin(entry) for entry in entries if entry.strip())


def _read_pin(entry: str) -> tuple[Pin, tuple[str, ...]]:
    pin = Requirement(entry.partition("--hash=")[0])
    version = str(pin.specifier).removeprefix("==")
    return (canonicalize_name(pin.name), version), tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))


def _component(found: Distribution, digest: str, pins: Mapping[Pin, Iterable[str]]) -> Component:
    if (found.name, found.version) not in pins:
        raise ValueError(f"the lock does not pin {found.name} {found.version}: run `./pants build` again")
    url = PackageURL("pypi", name=found.name, version=found.version)
    return Component(
        name=found.name,
        version=found.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(url),
        purl=url,
        licenses=_licences(found),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in pins[found.name, found.version]],
        # Installed by the pex tool from one of those files.
        properties=[Property(name="pex:distribution", value=f"{found.wheel} sha256:{digest}")],
    )


def _licences(found: Distribution) -> list[License]:
    """As the author states them: an SPDX expression, else a name, else the classifiers; empty without any."""
    for header in ("License-Expression", "License"):
        stated = (found.metadata.get(header) or "").strip()
        if stated and stated != "UNKNOWN" and "\n" not in stated and len(stated) <= _LONGEST_NAME:
            return [LicenseFactory().make_from_string(stated)]
    classifiers = found.metadata.get_all("Classifier") or []
    names = sorted(text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: "))
    return [LicenseFactory().make_with_name(name) for name in names]


def _without_time(text: str) -> str:
    bill: dict[str, Any] = json.loads(text)
    del bill["metadata"]["timestamp"]
    return json.dumps(bill, indent=2, sort_keys=True) + "\n"
