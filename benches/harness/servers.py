"""What serves the builders on 127.0.0.1: the archives' copy, docker-registry, and Docker's daemon."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from . import mirror

STARTS_WITHIN = 60  # seconds


def wait_until(ready, what, process, log):
    """Returns once `ready()` says so; ends the program if that takes too long, or the server ended."""
    end = time.monotonic() + STARTS_WITHIN
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            said = Path(log).read_text(errors="replace")[-3000:]
            sys.exit(f"{what} does not start:\n{said}")
        time.sleep(0.01)


def stop(process):
    """Ends a process and waits until it is gone."""
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Mirror:
    """The archives' copy: see mirror.py."""

    def __init__(self, directory):
        self.suites = mirror.configured()
        self.uris = list(dict.fromkeys(uri for uri, _, _ in self.suites))
        command = [sys.executable, "-m", "harness.mirror", directory, *self.uris]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
        self.port = int(self.process.stdout.readline())
        self.suite = self.suites[0][1]

    def sources(self, options=f"[signed-by={mirror.KEYRING}]"):
        """Returns the lines of a sources.list that lead here."""
        address = f"http://127.0.0.1:{self.port}"
        return [f"deb {options} {address}/{self.uris.index(uri)}/ {suite} {part}" for uri, suite, part in self.suites]

    def stop(self):
        stop(self.process)


class Registry:
    """Debian's docker-registry, which can go back to what it held once, and remembers what it was asked."""

    def __init__(self, directory, trash):
        self.directory, self.trash = Path(directory), trash
        self.data, self.kept = self.directory / "data", self.directory / "kept"
        self.log = self.directory / "log"
        self.host = f"127.0.0.1:{free_port()}"
        self.directory.mkdir(parents=True)
        self.process = None
        self.start()

    def start(self):
        configuration = self.directory / "registry.yml"
        configuration.write_text(
            "version: 0.1\nlog: {level: error, formatter: json}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.data}}}, delete: {{enabled: true}}}}\n"
            f'http: {{addr: "{self.host}"}}\n'
        )
        env = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        with open(self.log, "ab") as log:
            command = ["docker-registry", "serve", configuration]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        wait_until(self.answers, "docker-registry", self.process, self.log)

    def answers(self):
        try:
            with urllib.request.urlopen(f"http://{self.host}/v2/", timeout=1):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self):
        stop(self.process)

    def keep(self):
        """Makes what it holds now what `reset` goes back to."""
        shutil.copytree(self.data, self.kept)

    def reset(self):
        """Forgets all that was pushed since `keep`."""
        self.stop()
        self.trash.put(self.data)
        shutil.copytree(self.kept, self.data)
        self.start()

    def has(self, image):
        """Says whether there are tags of `HOST/NAME`."""
        return bool(self.get(image.partition("/")[2], "tags/list", "application/json"))

    def get(self, name, path, accepted):
        """Returns what the registry answers; nothing, if it has no such thing."""
        try:
            with self.open(name, path, accepted) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return b""

    def open(self, name, path, accepted="*/*"):
        """Returns the registry's answer, to be read."""
        request = urllib.request.Request(f"http://{self.host}/v2/{name}/{path}", headers={"Accept": accepted})
        return urllib.request.urlopen(request, timeout=60)

    def asked(self):
        """Returns the requests so far, as `GET /v2/…`."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line.split('"')[1].rpartition(" ")[0] for line in lines if " HTTP/1." in line and '"' in line]


class Dockerd:
    """Docker's daemon with a store of its own, which has no network but the machine's."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.socket = f"unix://{self.directory}/socket"
        self.process = None

    def start(self):
        """Starts it, unless it runs, and returns once it answers."""
        if self.pids():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        command = ["dockerd", "--data-root", self.directory / "data", "--exec-root", self.directory / "exec"]
        command += ["--pidfile", self.directory / "pid", "--host", self.socket, "--bridge=none", "--iptables=false"]
        command += ["--ip6tables=false", "--ip-forward=false", "--log-level=error"]
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self.answers, "dockerd", self.process, self.directory / "log")

    def answers(self):
        path = self.socket.removeprefix("unix://")
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return connection.recv(64).startswith(b"HTTP/1.0 200")
        except OSError:
            return False

    def pids(self):
        return [self.process.pid] if self.process and self.process.poll() is None else []

    def stop(self):
        stop(self.process)
        self.process = None
