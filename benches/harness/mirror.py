"""A copy of the packages' archives on 127.0.0.1, so that no network is measured, and everybody sees the same archive.

What is asked for the first time is fetched from the archive that the machine's apt is configured for; from then on it comes
from the disk, lists of packages too. So all builders of one run see one state of the archive.

Usage: python3 -m harness.mirror DIRECTORY URI...    prints its port; /0/ is the first URI's content, /1/ the second's
"""

import email.utils
import http.server
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def configured():
    """Returns the (URI, suite, component)s of Debian that this machine's apt is configured for."""
    asked = ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages"]
    lines = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()
    found = [tuple(line.split("|")[1:]) for line in lines if line.startswith("Debian|")]
    if not found:
        sys.exit("cannot find a Debian archive in the apt configuration of this machine: run apt-get update")
    return list(dict.fromkeys(found))


def proxies():
    """Returns the proxy of apt's own configuration, besides what the environment says."""
    said = subprocess.run(["apt-config", "shell", "P", "Acquire::http::Proxy"], capture_output=True, text=True).stdout
    proxy = said.strip().removeprefix("P=").strip("'")
    return {**urllib.request.getproxies(), **({"http": proxy} if proxy not in ("", "DIRECT") else {})}


class Copy:
    """The files that were fetched, in a directory."""

    def __init__(self, directory, uris):
        self.directory, self.uris = Path(directory), uris
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies()))
        self.lock = threading.Lock()

    def get(self, path):
        """Returns the file of a path of the URL, fetching it if need be; None if the archive has no such file."""
        number, _, rest = path.lstrip("/").partition("/")
        if not number.isdigit() or int(number) >= len(self.uris) or ".." in rest:
            return None
        file = self.directory / number / rest.replace("/", "+")
        missing = Path(f"{file}.missing")
        with self.lock:
            if not file.exists() and not missing.exists():
                self.fetch(self.uris[int(number)].rstrip("/") + "/" + urllib.parse.quote(rest, safe="/~+"), file, missing)
        return file if file.exists() else None

    def fetch(self, uri, file, missing):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.opener.open(uri, timeout=60) as answer, open(f"{file}.new", "wb") as new:
                shutil.copyfileobj(answer, new, 1 << 20)
                changed = answer.headers["Last-Modified"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            missing.touch()
            return
        if changed:
            seconds = email.utils.parsedate_to_datetime(changed).timestamp()
            os.utime(f"{file}.new", (seconds, seconds))
        os.rename(f"{file}.new", file)


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    copy = None

    def translate_path(self, path):
        path = urllib.parse.unquote(path.partition("?")[0])
        return str(self.copy.get(path) or "/nonexistent")

    def copyfile(self, source, outputfile):
        self.connection.sendfile(source)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    Handler.copy = Copy(sys.argv[1], sys.argv[2:])
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
