"""Damage files, and have a process read them that may crash, hang or grow."""

import json
import os
import select
import subprocess
import sys
import zipfile
from collections import Counter

import numpy as np

MOST_MEGABYTES, MOST_SECONDS = 1500, 20
"""What a process that reads a damaged file may take, of memory and of CPU."""

SEED_SHIFT = int(os.environ.get("ANN2NEO_SEED_SHIFT", "0"))
"""Added to the seeds of damage and kills, to repeat their tests with others."""

# `read` is defined by the code that a test adds.
_READER = """
import json, resource, sys, warnings
import numpy as np
import ann2neo
warnings.simplefilter("ignore")
{definition}
def megabytes():
    # Not ru_maxrss, which a process inherits from the one that started it.
    import os
    if os.path.exists("/proc/self/status"):
        for line in open("/proc/self/status"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for line in sys.stdin:
    used = resource.getrusage(resource.RUSAGE_SELF)
    try:
        said = read(json.loads(line))
    except ann2neo.Ann2NeoError as error:
        said = "error" if len(str(error)) > 20 else "EMPTY ERROR"
    except BaseException as error:
        said = f"{{type(error).__name__.upper()}}: {{error}}"
    now = resource.getrusage(resource.RUSAGE_SELF)
    seconds = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print("\\n" + json.dumps([said, megabytes(), seconds]), flush=True)
"""


class Reader:
    """A process that defines ``read(path)``, started again when it ends."""

    def __init__(self, definition):
        self._code, self._process = _READER.format(definition=definition), None

    def ask(self, path):
        """Return what reading a path gave, megabytes, and seconds of CPU."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", self._code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        self._process.stdin.write(json.dumps(str(path)) + "\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], 6 * MOST_SECONDS)[0]:
            self.close()
            return "HANG", 0, 0
        self._process.stdout.readline()
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self.close()
            return f"CRASH {code}", 0, 0
        return json.loads(line)

    def close(self):
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None


def outcomes_of(copy, ways, definition, n_files, seed):
    """Damage copies in turn, and count what reading them gave, per way.

    `copy` makes a new copy and returns its path; a way takes the path and a generator.
    Anything but "same", "other" and "error", and more memory or time than is allowed,
    fails.
    """
    reader, counts, wrong = Reader(definition), Counter(), []
    try:
        for number in range(n_files):
            rng = np.random.default_rng([seed, number])
            way, path = ways[number % len(ways)], copy()
            way(path, rng)
            said, megabytes, seconds = reader.ask(path)
            counts[way.__name__, said] += 1
            if (
                said not in {"same", "other", "error"}
                or megabytes > MOST_MEGABYTES
                or seconds > MOST_SECONDS
            ):
                wrong.append((number, way.__name__, said, megabytes, seconds))
    finally:
        reader.close()
    assert not wrong, wrong
    return counts


def flip_bytes(path, rng):
    """Flip one bit in some bytes."""
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, len(data), rng.choice([1, 1, 4, 64])):
        data[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def truncate(path, rng):
    """Cut the end off."""
    with path.open("r+b") as file:
        file.truncate(int(rng.integers(path.stat().st_size)))


def zero_range(path, rng):
    """Set a stretch to zero."""
    data = bytearray(path.read_bytes())
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 5000))
    data[start : start + length] = bytes(len(data[start : start + length]))
    path.write_bytes(data)


def append_bytes(path, rng):
    """Add some bytes at the end."""
    with path.open("ab") as file:
        file.write(rng.bytes(int(rng.integers(1, 300))))


def rewrite_members(path, change):
    """Change the members of a ZIP archive, whose own checksums are right afterwards."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def drop_member(path, rng):
    """Leave one member of a ZIP archive out."""
    rewrite_members(path, lambda members: members.pop(rng.choice(sorted(members))))


def change_json(text, rng):
    """Change or delete one value of a JSON text."""
    content, places = json.loads(text), []

    def walk(node):
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in pairs:
            places.append((node, key))
            if isinstance(value, (dict, list)):
                walk(value)

    walk(content)
    node, key = places[int(rng.integers(len(places)))]
    values = [None, [], {}, "nonsense", -1, True, 1e9]
    if rng.random() < 0.3:
        del node[key]
    else:
        node[key] = values[int(rng.integers(len(values)))]
    return json.dumps(content)
