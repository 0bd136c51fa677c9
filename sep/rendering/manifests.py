"""Manifests of rendered pieces: what a piece was made of, and how."""

import json
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
        manifest = json.loads(path.read_text())
        is_valid = all(isinstance(facts, dict) for facts in manifest["sources"].values())
        if is_valid and isinstance(manifest["settings"], str):
            return manifest
        reason = "another kind of file"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error)
    raise UserError(f"{path}: not the manifest of a piece ({reason}); delete its folder")
