"""The place where all is measured: a directory with the archives' copy, a registry that holds a base, and a store for each
builder, all on one file system."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .builders import minbase_script
from .image import look
from .servers import Mirror, Registry
from .trash import RESTS, Trash
from .workloads import Maker

TRIES = 10


class Bench:
    """Everything that builders share. Leaving it ends the servers and removes the directory."""

    def __init__(self, args):
        self.estaleiro = Path(args.estaleiro)
        self.directory = Path(tempfile.mkdtemp(prefix="estaleiro-bench.", dir=args.directory))
        self.temporary = self.directory / "tmp"
        self.temporary.mkdir()
        # The program is whatever it is called, as in its own image.
        self.out = self.directory / "out"
        self.out.symlink_to(self.estaleiro)
        self.trash = Trash(self.directory / "trash", args.rest)
        self.mirror = self.registry = None
        self.base_layers = []

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            return self.set_up()
        except BaseException:
            self.tear_down()
            raise

    def set_up(self):
        self.mirror = Mirror(self.directory / "mirror")
        self.registry = Registry(self.directory / "registry", self.trash)
        self.maker = Maker(self.directory / "workloads", self.registry, self.mirror)
        self.make_base()
        return self

    def make_base(self):
        """Puts a minbase root into the registry, whose apt is configured for the mirror."""
        say("making the base image")
        place = self.directory / "base"
        script = minbase_script(self.mirror, place, self.maker.base)
        made = subprocess.run(["sh", "-ec", script], env=self.environment(), capture_output=True, text=True)
        if made.returncode != 0:
            sys.exit(f"cannot make the base image:\n{made.stderr[-3000:]}")
        packages = subprocess.run(
            ["sh", "-c", f"tar -xOf {place}/root.tar ./var/lib/dpkg/status | sed -n 's/^Package: //p'"],
            check=True, capture_output=True, text=True,
        ).stdout
        (self.maker.directory).mkdir()
        (self.maker.directory / "base-packages").write_text(packages)
        self.trash.put(place)
        self.base_layers = look(self.registry, self.maker.base).layers
        self.registry.keep()

    def environment(self):
        return {**os.environ, "TMPDIR": str(self.temporary)}

    def __exit__(self, *_):
        self.tear_down()

    def tear_down(self):
        for server in (self.mirror, self.registry):
            if server:
                server.stop()
        # What was interrupted may still be putting its things away.
        for _ in range(TRIES):
            if subprocess.run(["rm", "-rf", self.directory]).returncode == 0:
                return
            time.sleep(1)
        say(f"cannot remove {self.directory}")


def add_arguments(parser):
    """Adds what all benchmarks take."""
    parser.add_argument("--directory", help="where all is kept while it runs; some 20 GB [that of temporary files]")
    rest = "seconds of rest after files were deleted [%(default)s]; 0 for trying out"
    parser.add_argument("--rest", type=float, default=RESTS, help=rest)
    parser.add_argument("--estaleiro", required=True, help=argparse.SUPPRESS)


def say(text):
    """Tells people what is going on."""
    print(text, file=sys.stderr, flush=True)
