"""Registries of components that settings select by name, imported on first use."""

import pkgutil
from collections.abc import Mapping
from typing import Any, NamedTuple

from sep.errors import UserError


class Entry(NamedTuple):
    """Import paths, "package.module:Name", of a Flax module and its settings class.

    The settings class may be defined in the module's own file. A separate file that does
    not import JAX keeps commands quick to start.
    """

    module: str
    settings: str

    def module_class(self) -> Any:
        """Returns the Flax module's class; imports JAX."""
        return pkgutil.resolve_name(self.module)

    def settings_class(self) -> Any:
        """Returns the dataclass of its settings."""
        return pkgutil.resolve_name(self.settings)


def settings_classes(registry: Mapping[str, Entry]) -> dict[str, type]:
    """Returns the settings classes of a registry, by name."""
    return {name: entry.settings_class() for name, entry in registry.items()}


def lookup(registry: Mapping[str, Any], kind: str, name: str) -> Any:
    """Returns the entry of this name.

    Args:
      registry: entries by name.
      kind: what the entries are, for the error message.
      name: of the entry.

    Raises:
      UserError: there is no such entry; the message lists all names.
    """
    if name not in registry:
        raise UserError(f"unknown {kind} {name!r}; known: {', '.join(sorted(registry))}")
    return registry[name]
