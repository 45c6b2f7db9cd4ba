"""Where stores go that are wiped, until nobody is measured.

A file that is deleted is felt by who creates the next ones: ext4 gives an inode to nobody for a minute after its file was
deleted, and looks through all of those whenever it needs one. Several seconds of a build were spent so, for no fault of the
builder's. So what is to go is only moved out of the way.
"""

import os
import subprocess
import time
from pathlib import Path

RESTS = 61  # seconds


class Trash:
    """A directory on the file system of the stores."""

    def __init__(self, directory, rest=RESTS):
        self.directory, self.rest, self.n = Path(directory), rest, 0
        self.directory.mkdir()

    def put(self, path):
        """Takes a file or directory out of the way, if there is one."""
        if os.path.lexists(path):
            os.rename(path, self.directory / str(self.n))
            self.n += 1

    def empty(self):
        """Deletes everything."""
        subprocess.run(["rm", "-rf", self.directory], check=True)
        self.directory.mkdir()

    def settle(self):
        """Deletes everything, and waits until that is felt by nobody any more."""
        self.empty()
        os.sync()
        time.sleep(self.rest)
