"""What a result has to say of where it was measured."""

import datetime
import os
import platform
import subprocess
from pathlib import Path


def facts(estaleiro):
    """Returns the date, the machine, and the versions of all builders."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H%MZ"),
        "processors": os.cpu_count(),
        "processor": field("/proc/cpuinfo", "model name"),
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "system": field("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "load": os.getloadavg()[0],
        "commit": said("git", "describe", "--always", "--dirty"),
        "versions": {
            "estaleiro": said(estaleiro, "--version"),
            **{name: said("dpkg-query", "-W", "-f", "${Version}", name) for name in PACKAGES},
        },
    }


PACKAGES = ["buildah", "docker.io", "mmdebstrap", "umoci", "skopeo", "docker-registry"]


def field(path, name, separator=":"):
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(separator)
        if key.strip() == name:
            return value.strip()
    return "unknown"


def said(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def gzipped(file):
    """Returns the bytes that `gzip -6` makes of a file."""
    return int(said("sh", "-c", 'gzip -6 -n -c "$0" | wc -c', str(file)))
