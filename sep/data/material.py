"""All that a run is trained on and validated on, read from one folder."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from sep.data import folders, rooms, stems
from sep.data.folders import warn
from sep.data.stems import Stems
from sep.errors import UserError
from sep.model.names import output_names


class Material(NamedTuple):
    """Stems to train on and to validate on, and rooms (R, L), maybe none."""

    train: Stems
    valid: Stems
    rooms_RL: np.ndarray


def check_folders(config: dict, folder: Path) -> None:
    """Looks whether all stems are there, before anything is read or written.

    Raises:
      UserError: they are not; the message says what is missing.
    """
    for split in ("train", "valid"):
        folders.checked(
            folder / split,
            output_names(config["model"]),
            missing_is_silence=config["data"]["missing_is_silence"],
        )


def read_material(config: dict, folder: Path) -> Material:
    """Stems of FOLDER/train and FOLDER/valid, decoded once; FOLDER/rooms.

    Raises:
      UserError: something in there cannot be used.
    """
    model, data = config["model"], config["data"]
    found = (
        stems.load(
            folder / split,
            output_names(model),
            model["sample_rate"],
            data["cache"],
            strict=data["strict"],
            missing_is_silence=data["missing_is_silence"],
        )
        for split in ("train", "valid")
    )
    place = folder / "rooms"
    rooms_RL = rooms.load(place, model["sample_rate"], data["room_seconds"])
    if data["room"] and not len(rooms_RL):
        raise UserError(
            f"{place}: no impulse responses, but config.data.room is {data['room']:g}; "
            f"put some there (python -m sep.data rooms --out={place}), or set it to 0"
        )
    material = Material(*found, rooms_RL)
    train = material.train
    alone = ([stem.active_N.any() for stem in train.unbound(name)] for name in train.solos)
    if data["solos"] and not all(map(any, alone)):
        warn(
            f"{folder / 'train'}: not every source sounds in recordings of no track; "
            "config.data.solos is not heeded"
        )
    return material
