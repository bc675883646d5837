"""A Dask cluster of processes: a scheduler and workers, on this machine."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


class Cluster:
    """A scheduler and workers in processes of their own.

    Parameters
    ----------
    folder : Path
        Where they write their logs, and run.
    """

    def __init__(self, folder):
        self.folder, self.processes = folder, {}
        place = folder / "scheduler.json"
        self.start(
            "scheduler", "--host", "127.0.0.1", "--port", 0, "--scheduler-file", place
        )
        deadline = time.monotonic() + 60
        while not place.exists() or not place.read_text().endswith("}"):
            assert time.monotonic() < deadline, self.log("scheduler")
            time.sleep(0.05)
        self.address = json.loads(place.read_text())["address"]

    def start(self, name, *options, path=()):
        """Start the scheduler, or a worker, which finds modules in `path` first."""
        kind = "scheduler" if name == "scheduler" else "worker"
        command = [sys.executable, "-m", "dask", kind, "--no-dashboard", *options]
        path = [*map(str, path), str(HERE), os.environ.get("PYTHONPATH", "")]
        with (self.folder / f"{name}.log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                [str(word) for word in command],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def add_worker(self, name, **options):
        """Start a worker of one thread, which nobody starts again when it ends."""
        self.start(
            name,
            self.address,
            *("--name", name, "--nthreads", 1, "--no-nanny"),
            **options,
        )

    def kill(self, name):
        """End one of the processes at once."""
        self.processes[name].kill()
        self.processes[name].wait()

    def log(self, name):
        """Return what a process said."""
        return (self.folder / f"{name}.log").read_text()


@contextmanager
def cluster_of(folder, *workers, **options):
    """Start a cluster with workers of these names, and end it after the block."""
    from distributed import Client

    cluster = Cluster(folder)
    try:
        for name in workers:
            cluster.add_worker(name, **options)
        with Client(cluster.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(len(workers), timeout=120)
            yield cluster, client
    finally:
        for process in cluster.processes.values():
            process.kill()
            process.wait()
