"""`loupe` commands, each in a process of its own that is forked from one which has imported what commands need.

To import torch and what is built on it takes longer than most commands do. Servers, and indexers that are stopped or
killed, are started in earnest, by `python -m api`.
"""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from api import cli

_FORKED: Final = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["api.cli", "api.compose", "search.models.loading"])

#: How long a command may take, seconds.
_LONGEST: Final = 120


def loupe(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `loupe ARGUMENTS` in a folder (None: here), with variables of the environment besides those there are."""
    with TemporaryDirectory() as said:
        out, err = Path(said, "stdout"), Path(said, "stderr")
        variables = os.environ | environment
        command = _FORKED.Process(target=_run, args=(arguments, folder or Path.cwd(), variables, out, err))
        command.start()
        command.join(_LONGEST)
        if command.exitcode is None:
            command.kill()
            raise subprocess.TimeoutExpired(["loupe", *arguments], _LONGEST)
        return subprocess.CompletedProcess(arguments, command.exitcode, out.read_text(), err.read_text())


def _run(arguments: tuple[str, ...], folder: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    for file, standard in ((out, 1), (err, 2)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, standard)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["loupe", *arguments]
    cli.main()
