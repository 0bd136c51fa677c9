"""The base config, derived from the settings of every package.

Experiments change it in a file under configs/ or on the command line
(`--config.train.steps=100`). `python -m sep.config` lists every setting.
"""

import json
from typing import Any

from ml_collections import ConfigDict

from sep.runtime.settings import as_dict, describe, from_dict
from sep.training.settings import RunSettings


def get_config() -> ConfigDict:
    """Returns a new, locked config with the default of every setting."""
    base = as_dict(RunSettings())
    base["model"]["sources"] = tuple(base["model"]["sources"])
    return ConfigDict(base).lock()


def settings_of(config: ConfigDict) -> RunSettings:
    """Converts a config to typed settings.

    On the command line, several sources are one string: "a,b".

    Raises:
      UserError: a setting has a wrong type.
    """
    plain: dict[str, Any] = json.loads(config.to_json())
    names = ",".join(plain["model"]["sources"]).split(",")
    plain["model"]["sources"] = [name.strip() for name in names if name.strip()]
    return from_dict(RunSettings, plain)


if __name__ == "__main__":
    print(describe(RunSettings()))
