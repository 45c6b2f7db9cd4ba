"""What is in an image that a builder pushed: enough to see that all of them built the same."""

import gzip
import hashlib
import json
import tarfile
from dataclasses import dataclass, field

MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class Image:
    """An image of a registry."""

    digest: str
    layers: list  # descriptors
    compressed: int = 0  # bytes of the layers
    packages: list = field(default_factory=list)  # NAME=VERSION, as dpkg's database has them

def look(registry, image, base_layers=()):
    """Returns what `HOST/NAME:TAG` is; of the layers that are not the base's, the packages too."""
    name, _, tag = image.partition("/")[2].partition(":")
    text = registry.get(name, f"manifests/{tag or 'latest'}", MANIFESTS)
    if not text:
        raise SystemExit(f"{image} was not pushed")
    layers = json.loads(text)["layers"]
    found = Image("sha256:" + hashlib.sha256(text).hexdigest(), [layer["digest"] for layer in layers])
    for layer in layers:
        if layer["digest"] not in base_layers:
            found.compressed += layer["size"]
            found.packages = packages(registry.open(name, f"blobs/{layer['digest']}")) or found.packages
    return found


def packages(layer):
    """Returns the packages of a layer that has a dpkg database, which is read while it comes."""
    with layer, gzip.open(layer) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
        for member in tar:
            if member.name.removeprefix("./") == "var/lib/dpkg/status":
                return sorted(map(package, tar.extractfile(member).read().decode().strip().split("\n\n")))
    return []


def package(paragraph):
    fields = dict(line.split(": ", 1) for line in paragraph.split("\n") if ": " in line and not line.startswith(" "))
    return f"{fields['Package']}={fields.get('Version', '')} {fields['Status']}"
