"""Separates recordings into stems.

python separate.py [--model=MODEL] [--out=DIR] FILE_OR_FOLDER...

Writes DIR/<name>/<source>.wav with the sample rate, channels and length of the recording.
MODEL is the bundled model (default), a release file, or a training workdir.
"""

from sep.cli import separate

if __name__ == "__main__":
    separate.run()
