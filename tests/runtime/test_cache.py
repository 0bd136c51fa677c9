"""Cache folders: those of the environment, of the platform, and without a home."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sep.errors import UserError
from sep.runtime.cache import cache_folder, remember_compilations

ODD_USER = 12345  # without an entry in /etc/passwd
posix_only = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """The environment's variables that matter, all unset; temporary files in tmp_path."""
    for name in ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("COMPILE_TIME_SECS", "ENTRY_SIZE_BYTES"):
        monkeypatch.setenv(f"JAX_PERSISTENT_CACHE_MIN_{name}", "0")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return monkeypatch


@pytest.fixture
def homeless(environment):
    """A user without $HOME and without an entry in /etc/passwd."""
    import pwd

    def missing(user):
        raise KeyError(user)

    environment.setattr(pwd, "getpwuid", missing)
    return environment


def test_the_environment_chooses_the_folder(environment, tmp_path):
    environment.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("stems") == tmp_path / "sep" / "stems"
    environment.setenv("XDG_CACHE_HOME", "here")
    assert cache_folder("stems") == Path("here/sep/stems")


@pytest.mark.skipif(sys.platform != "linux", reason="folder of Linux")
@pytest.mark.parametrize("chosen", [None, ""])
def test_on_linux_the_folder_is_in_the_home(environment, tmp_path, chosen):
    environment.setenv("HOME", str(tmp_path))
    if chosen is not None:
        environment.setenv("XDG_CACHE_HOME", chosen)
    assert cache_folder("stems") == tmp_path / ".cache" / "sep" / "stems"
    assert not list(tmp_path.iterdir())


@posix_only
def test_without_a_home_the_folder_is_temporary_and_private(homeless, tmp_path):
    private = tmp_path / f"sep-cache-{os.getuid()}"
    for _ in range(2):
        assert cache_folder("stems") == private / "stems"
    assert private.stat().st_mode & 0o777 == 0o700
    remember_compilations()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(private / "jax")


@posix_only
@pytest.mark.parametrize("case", ["open to others", "link", "file", "another user's"])
def test_a_temporary_folder_of_others_is_refused(homeless, tmp_path, case):
    private = tmp_path / f"sep-cache-{os.getuid()}"
    if case == "link":
        (tmp_path / "elsewhere").mkdir(0o700)
        private.symlink_to(tmp_path / "elsewhere")
    elif case == "file":
        private.touch(0o600)
    else:
        private.mkdir(0o700)
    if case == "open to others":
        private.chmod(0o755)
    if case == "another user's":
        homeless.setattr(os, "geteuid", lambda: ODD_USER)
    with pytest.raises(UserError, match="remove it, or set XDG_CACHE_HOME"):
        cache_folder("stems")
    remember_compilations()  # JAX then has no cache on disk
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


# Imports come first: another user may not be permitted to read this Python's folder.
AS_ODD_USER = """
import os, sys
from sep.cli import separate
from sep.runtime.cache import cache_folder
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv.pop(1)))
folder = cache_folder("jax")
print(folder, oct(os.stat(folder.parent).st_mode & 0o777), flush=True)
separate.run()
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user"
)
def test_help_needs_no_home_and_no_entry_of_the_user():
    folder = Path(tempfile.mkdtemp())  # in which the other user may write
    folder.chmod(0o777)
    variables = {"TMPDIR": str(folder), "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", AS_ODD_USER, str(ODD_USER), "--help"],
            env=variables, cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
    finally:
        shutil.rmtree(folder)
    assert "Traceback" not in done.stderr
    first, *others = done.stdout.splitlines()
    assert first == f"{folder}/sep-cache-{ODD_USER}/jax 0o700"
    assert any("--model" in line for line in others)
