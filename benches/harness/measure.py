"""Measures a command with all that it starts: wall and CPU seconds, and the peak of its memory.

CPU is what the kernel charged to the command and all its descendants, and to the trees of daemons that work for it. Memory
is the larger of two: the largest resident set of any one process, which the kernel keeps exactly, and the largest sum over
the tree, sampled, in which pages that several processes share count once (Pss). A control group's memory.peak is not used:
it has the page cache of every file written in it.
"""

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
SHOWN_ON_FAILURE = 40
PAUSE = 0.05  # seconds between two looks at memory


@dataclass
class Run:
    """What one run took."""

    wall: float  # seconds
    cpu: float  # seconds, user and system, of the whole tree
    rss: float  # MB (10^6 bytes), the peak of the whole tree
    start: float = 0  # seconds of `wall` in which a daemon was started


class Failed(Exception):
    """A command that was measured failed; says its last lines."""


def measure(command, log, *, env, cwd=None, daemons=(), cpus=None):
    """Runs `command`, its output going to the file `log`, and returns a Run; `daemons` are pids that work for it."""
    os.sync()
    kept = Path(f"{log}.time")
    limited = ["taskset", "-c", cpus] if cpus else []
    timed = ["/usr/bin/time", "-q", "-f", "%M", "-o", kept, *limited, *command]
    before = cpu_of(daemons)
    with open(log, "wb") as output:
        streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        start = time.perf_counter()
        process = subprocess.Popen(timed, **streams, env=env, cwd=cwd, start_new_session=True)
        with Sampler([process.pid, *daemons]) as sampler:
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                os.killpg(process.pid, signal.SIGTERM)
                raise
            wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        said = Path(log).read_text(errors="replace").splitlines()[-SHOWN_ON_FAILURE:]
        raise Failed(f"`{' '.join(map(str, command))}` failed:\n  " + "\n  ".join(said))
    largest = int(kept.read_text().split()[-1]) * 1024
    cpu = usage.ru_utime + usage.ru_stime + cpu_of(daemons) - before
    return Run(wall=wall, cpu=cpu, rss=max(largest, sampler.peak) / 1e6)


class Sampler:
    """Looks at the memory of process trees, seldom enough for what is measured not to be held up: adding up a process's pages
    stops it meanwhile. Of what is over sooner the kernel knows how large the largest process was."""

    def __init__(self, roots):
        self.roots, self.peak = roots, 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def watch(self):
        pause = PAUSE
        while not self.ended.wait(pause):
            start = time.perf_counter()
            self.peak = max(self.peak, sum(memory(pid) for pid in tree(self.roots)))
            pause = max(PAUSE, 20 * (time.perf_counter() - start))


def tree(roots):
    """Returns the pids of `roots` and of all their descendants."""
    found, waiting = [], list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children(pid)
    return found


def children(pid):
    """Returns the pids of the children that any thread of a process has."""
    pids = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            pids += map(int, read(f"/proc/{pid}/task/{thread}/children").split())
    except OSError:
        pass  # it is gone
    return pids


def memory(pid):
    """Returns the bytes a process holds, its share of what it shares; 0 if it is gone."""
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_of(pids):
    """Returns the CPU seconds that trees have used, children that ended included."""
    ticks = 0
    for pid in tree(pids):
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime: proc(5)
    return ticks / TICKS


def read(path):
    """Returns a file of /proc; nothing, if its process is gone."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""
