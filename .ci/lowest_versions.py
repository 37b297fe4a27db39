"""Prints constraints for pip that pin what pyproject.toml asks for to the lowest version that it allows.

Run it as `python .ci/lowest_versions.py EXTRA...`, with `packaging` installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(extras: list[str]) -> dict[str, str]:
    """Return the lowest version of each direct dependency, by its name.

    Args:
        extras: Names of extras beside the base install; those that they name are taken too.
    """
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    lines, todo, seen = list(project["dependencies"]), list(extras), set()
    while todo:
        extra = todo.pop()
        if extra not in seen:
            seen.add(extra)
            lines += project["optional-dependencies"][extra]
    found: dict[str, str] = {}
    for line in lines:
        requirement = Requirement(line)
        if requirement.name == project["name"]:
            found |= lowest(sorted(requirement.extras))
        elif requirement.marker is None or requirement.marker.evaluate():
            bounds = [s.version for s in requirement.specifier if s.operator in (">=", "==")]
            assert bounds, f"{line} has no lower bound"
            found[requirement.name] = bounds[0]
    return found


if __name__ == "__main__":
    print("\n".join(f"{name}=={version}" for name, version in sorted(lowest(sys.argv[1:]).items())))
