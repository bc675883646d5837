"""The command line: ``ann2neo --help``.

Heavy libraries are imported inside the commands that need them, so that help and small
commands are quick.
"""

from ann2neo.cli import commands, datasets, study
from ann2neo.cli.application import app

__all__ = ["app", "commands", "datasets", "study"]
