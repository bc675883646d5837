"""The command line: ``ann2neo --help``.

Heavy libraries are imported inside the commands that need them, so that help and small
commands are quick.
"""

from ann2neo.cli.analyze import analyze_files
from ann2neo.cli.application import app
from ann2neo.cli.datasets import datasets_app
from ann2neo.cli.demo import demo
from ann2neo.cli.info import info
from ann2neo.cli.record import record_model
from ann2neo.cli.report import report
from ann2neo.cli.study import study_app
from ann2neo.cli.summarize import summarize_files
from ann2neo.cli.validate import share_files, validate

__all__ = ["app"]

# In the order of the list that help shows.
app.command("demo")(demo)
app.command("record")(record_model)
app.command("info")(info)
app.command("analyze")(analyze_files)
app.command("summarize")(summarize_files)
app.command("validate")(validate)
app.command("share")(share_files)
app.command("report")(report)
app.add_typer(study_app, name="study")
app.add_typer(datasets_app, name="datasets")
