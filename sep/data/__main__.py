"""Prepares and checks training material: python -m sep.data SUBCOMMAND."""

import importlib
import sys

SUBCOMMANDS = {  # name: (module with flags and run(), what it does)
    "check": ("sep.cli.data_check", "checks a folder of stems before training"),
    "render": ("sep.cli.data_render", "renders scores, or composed pieces, to stems"),
    "rooms": ("sep.cli.data_rooms", "simulates rooms as impulse responses"),
    "map": ("sep.cli.data_map", "makes or mends the sample map of an instrument"),
    "pair": ("sep.cli.data_pair", "mixes real solos to tracks for validation and test"),
}


def run(argv: list[str]) -> None:
    """Runs a subcommand. Only its module is imported, hence only its flags exist."""
    if argv[1:] and argv[1] in SUBCOMMANDS:
        module, _ = SUBCOMMANDS[argv[1]]
        sys.argv = [f"python -m sep.data {argv[1]}", *argv[2:]]
        importlib.import_module(module).run()
        return
    lines = [f"  {name:<11}{what}" for name, (_, what) in SUBCOMMANDS.items()]
    usage = "\n".join(["usage: python -m sep.data SUBCOMMAND ...", "", *lines, ""])
    usage += "\npython -m sep.data SUBCOMMAND --help lists its flags"
    if argv[1:] in (["-h"], ["--help"], ["--helpfull"]):
        print(usage)
        return
    if argv[1:]:
        usage = f"error: no subcommand {argv[1]}\n{usage}"
    print(usage, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    run(sys.argv)
