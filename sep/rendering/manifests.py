"""Manifests of rendered pieces: what a piece was made of, and how."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sep.errors import UserError

MANIFEST = "manifest.json"  # in a piece's folder; written last, it marks it as complete


def read_manifest(path: Path) -> dict[str, Any]:
    """Reads a piece's manifest.

    Raises:
      UserError: the file cannot be read, or is not a manifest.
    """
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        check_manifest(manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not the manifest of a piece ({error}); delete its folder"
        ) from None
    return manifest


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Raises ValueError, KeyError, TypeError or AttributeError if it is no manifest."""
    is_valid = all(isinstance(facts, dict) for facts in manifest["sources"].values())
    if not (is_valid and isinstance(manifest["settings"], str)):
        raise ValueError("another kind of file")
