"""What lies beside the stems of a rendered piece: of what they were made, and how."""

import json
from pathlib import Path

from sep.errors import UserError

MANIFEST = "manifest.json"  # of a piece; written last, it says that the piece is whole


def read_manifest(path: Path) -> dict:
    """A piece's manifest. Raises UserError if it is none."""
    try:
        manifest = json.loads(path.read_text())
        whole = all(isinstance(facts, dict) for facts in manifest["sources"].values())
        if whole and isinstance(manifest["settings"], str):
            return manifest
        reason = "another kind of file"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error)
    raise UserError(f"{path}: is no manifest of a piece ({reason}); delete its folder")
