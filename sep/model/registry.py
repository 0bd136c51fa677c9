"""Registries of parts that are named in settings and imported when they are used."""

import pkgutil
from collections.abc import Mapping
from typing import Any, NamedTuple

from sep.errors import UserError


class Entry(NamedTuple):
    """A Flax module and the class of its settings, as text: "package.module:Name".

    The settings class may stand in the same file as the module. In a file of its own that
    does not import JAX, it keeps the start of the commands fast.
    """

    module: str
    settings: str

    def module_class(self) -> Any:
        """The Flax module's class; imports JAX."""
        return pkgutil.resolve_name(self.module)

    def settings_class(self) -> type:
        """The dataclass of its settings."""
        return pkgutil.resolve_name(self.settings)


def settings_classes(registry: Mapping[str, Entry]) -> dict[str, type]:
    """The settings classes of a registry, by name."""
    return {name: entry.settings_class() for name, entry in registry.items()}


def lookup(registry: Mapping[str, Any], kind: str, name: str) -> Any:
    """The entry of this name.

    Raises:
      UserError: there is none; the message lists all.
    """
    if name not in registry:
        raise UserError(f"unknown {kind} {name!r}; known: {', '.join(sorted(registry))}")
    return registry[name]
