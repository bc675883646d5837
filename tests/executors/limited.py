"""Work on the recording in a folder with a limit of memory, as a script.

``python limited.py FOLDER WORK MEBIBYTES OUT``: memory that the process has when it
begins, and pages of mapped files, do not count.
"""

import resource
import sys
from pathlib import Path

import ann2neo
from ann2neo.report.page import write_report

WORK = {
    "analyze": lambda recording, _: ann2neo.analyze(recording),
    "correlations": lambda recording, _: [
        ann2neo.correlations(recording, phase=name)
        for name in recording.phases["phase"]
    ],
    "summarize_populations": lambda recording, _: ann2neo.summarize_populations(
        recording, n_permutations=1, seed=0
    ),
    "write_nwb": lambda recording, out: ann2neo.write_nwb(recording, out / "a.nwb"),
    "report": lambda recording, out: write_report({"a": recording}, out / "a.html"),
}


def own_bytes():
    """Memory of this process that is not mapped from files."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmData"))
    return int(line.split()[1]) << 10


def main(folder, work, mebibytes, out):
    """Do it once for a small recording, which loads all modules, and then here."""
    recording = ann2neo.Recording.open(folder)
    small = recording.select(units=range(4))
    (out / "small").mkdir()
    WORK[work](small, out / "small")
    limit = own_bytes() + (mebibytes << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    WORK[work](recording, out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
