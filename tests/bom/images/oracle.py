"""Says as JSON what an OCI layout holds, as Python's own libraries read it: of each layer its digests and paths, and the
digests of all bytes that an account could tell of. Usage: oracle.py LAYOUT MORE...

MORE are files and directories whose bytes count, too."""
import gzip
import hashlib
import json
import os
import sys
import tarfile


def digests(path):
    for algorithm in ["sha256", "sha512"]:
        with open(path, "rb") as file:
            yield hashlib.file_digest(file, algorithm).hexdigest()


def read(descriptor):
    with open(place(descriptor), "rb") as file:
        return json.load(file)


def place(descriptor):
    return f"{sys.argv[1]}/blobs/{descriptor['digest'].replace(':', '/')}"


class Hashing:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file):
        self.file, self.sum = file, hashlib.sha256()

    def read(self, size=-1):
        data = self.file.read(size)
        self.sum.update(data)
        return data


def layer(descriptor):
    paths, removed = [], []
    with gzip.open(place(descriptor)) as plain:
        hashing = Hashing(plain)
        with tarfile.open(fileobj=hashing, mode="r|", encoding="utf-8", errors="replace") as archive:
            for member in archive:
                directory, name = os.path.split("/" + member.name.removeprefix("./"))
                if name == ".wh..wh..opq":
                    removed.append(directory.rstrip("/") + "/")
                elif name.startswith(".wh."):
                    removed.append(os.path.join(directory, name.removeprefix(".wh.")))
                else:
                    paths.append(os.path.join(directory, name))
        while hashing.read(1 << 20):
            pass
    return {"diff_id": hashing.sum.hexdigest(), "paths": sorted(paths), "removed": sorted(removed)}


def locks():
    """The locks that manifests attach."""
    for path in files([f"{sys.argv[1]}/blobs"]):
        with open(path, "rb") as file:
            start = file.read(1 << 16)
        if b'"artifactType":"application/vnd.estaleiro.lock.v1+json"' in start:
            yield read(json.loads(start)["layers"][0])


def content_digest(lock):
    """What counts of a lock is neither who made it nor which releases it was made from."""
    lock["builder"] = ""
    for platform in lock["platforms"]:
        platform["suites"] = []
    canonical = json.dumps(lock, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def files(places):
    for path in places:
        if os.path.isfile(path):
            yield path
        for directory, _, names in os.walk(path):
            yield from (os.path.join(directory, name) for name in names)


index = json.load(open(f"{sys.argv[1]}/index.json"))
tagged = [one for one in index["manifests"] if one.get("annotations", {}).get("org.opencontainers.image.ref.name") == "latest"]
layers = [layer(one) for one in read(tagged[0])["layers"]]
sums = {digest for path in files([f"{sys.argv[1]}/blobs", *sys.argv[2:]]) for digest in digests(path)}
sums.update(one["diff_id"] for one in layers)
sums.update(content_digest(one) for one in locks())
json.dump({"layers": layers, "digests": sorted(sums)}, sys.stdout)
