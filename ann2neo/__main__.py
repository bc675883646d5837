"""``python -m ann2neo`` is ``ann2neo``."""

from ann2neo.cli import app

if __name__ == "__main__":
    app(prog_name="ann2neo")
