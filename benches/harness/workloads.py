"""The workloads: what is built, as a definition for estaleiro and a Dockerfile for the others; how its source changes."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

BINARY = 5_000_000  # bytes
TARBALL = 223_000_000  # bytes of content
CHANGED = 64  # bytes

# Software whose files are the content of binaries and tarballs: they compress as software does, and are the same each time.
CONTENT = ["docker.io", "git", "vim-runtime"]

W1 = ["ca-certificates", "jq"]
W2 = ["btrfs-progs", "ca-certificates", "dumb-init", "iproute2", "file", "git", "openssh-client"]

C_PROGRAM = """#include <stdio.h>
/* 0000000000000000000000000000000000000000000000000000000000000000 */
int main(void) { puts("hello"); return 0; }
"""


@dataclass
class Workload:
    """Something to build, in a directory that has a Dockerfile, and a definition where one says the same."""

    name: str
    title: str
    directory: Path
    source: Path | None = None  # the file that changes
    place: int = 0  # where in it
    has_dockerfile: bool = True

    def change(self, number):
        """Writes 64 bytes into the source, the same for the same number."""
        if self.source is None:
            return
        digits = hashlib.sha256(str(number).encode()).hexdigest().encode()[:CHANGED]
        with open(self.source, "r+b") as file:
            file.seek(self.place)
            file.write(digits)


class Maker:
    """Makes the directories of workloads, from the packages of an archive."""

    def __init__(self, directory, registry, mirror):
        self.directory, self.registry, self.mirror = Path(directory), registry, mirror
        self.base = f"{registry.host}/base:{mirror.suite}"

    def make(self, name):
        """Returns the workload of that name."""
        return {"W1": self.w1, "W2": self.w2, "W3": self.w3, "W3b": self.w3b, "W4": self.w4}[name]()

    def w1(self):
        return self.on_base("W1", "base + ca-certificates jq + 5 MB binary", W1)

    def w2(self):
        return self.on_base("W2", "base + btrfs-progs … openssh-client + 5 MB binary", W2)

    def on_base(self, name, title, packages):
        directory = self.fresh(name)
        program = directory / "program"
        shutil.copyfile(self.binary(), program)
        program.chmod(0o755)
        (directory / "estaleiro.hcl").write_text(definition(name, packages, base=self.base, program=True))
        (directory / "Dockerfile").write_text(
            f"FROM {self.base}\n"
            f"RUN {install(packages)}\n"
            'COPY program /usr/local/bin/program\nENTRYPOINT ["/usr/local/bin/program"]\n'
        )
        return Workload(name, title, directory, program, BINARY // 2)

    def w3(self):
        directory = self.fresh("W3")
        source = directory / "hello.c"
        source.write_text(C_PROGRAM)
        (directory / "Dockerfile").write_text(
            f"FROM {self.base} AS tools\n"
            f"RUN {install(['gcc', 'libc6-dev'])}\n"
            "FROM tools AS compiled\nCOPY hello.c /src/hello.c\nRUN gcc -O2 -static -o /hello /src/hello.c\n"
            'FROM scratch\nCOPY --from=compiled /hello /hello\nENTRYPOINT ["/hello"]\n'
        )
        return Workload("W3", "three stages: gcc, a C program, scratch", directory, source, C_PROGRAM.index("/*") + 3)

    def w3b(self):
        directory = self.fresh("W3b")
        payload = directory / "payload.tar"
        place = pack(self.software(), payload, TARBALL)
        (directory / "Dockerfile").write_text("FROM scratch\nADD payload.tar /opt/\n")
        return Workload("W3b", "scratch + 223 MB tarball unpacked", directory, payload, place)

    def w4(self):
        directory = self.fresh("W4")
        text = definition("W4", self.minbase(), repositories=self.mirror.sources())
        (directory / "estaleiro.hcl").write_text(text)
        return Workload("W4", "scratch + apt: a minbase root", directory, has_dockerfile=False)

    def minbase(self):
        """Returns what is in the base: apt, and what has the priorities that mmdebstrap's minbase takes."""
        return (self.directory / "base-packages").read_text().split()

    def fresh(self, name):
        directory = self.directory / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        return directory

    def binary(self):
        """Returns a file of 5 MB, the first part of a large library."""
        libraries = [path for path in files(self.software()) if path.stat().st_size > BINARY]
        made = self.directory / "binary"
        with open(libraries[0], "rb") as library:
            made.write_bytes(library.read(BINARY))
        return made

    def software(self):
        """Returns a directory of unpacked packages."""
        directory = self.directory / "software"
        if not directory.exists():
            for deb in self.debs(CONTENT):
                directory.mkdir(exist_ok=True)
                subprocess.run(["dpkg-deb", "--extract", deb, directory], check=True)
        return directory

    def debs(self, packages):
        """Downloads packages, in a configuration of apt that knows the mirror alone."""
        place = self.directory / "apt"
        for part in ["lists/partial", "archives/partial", "etc/preferences.d", "etc/apt.conf.d", "etc/sources.list.d"]:
            (place / part).mkdir(parents=True, exist_ok=True)
        (place / "etc/sources.list").write_text("\n".join(self.mirror.sources()) + "\n")
        (place / "status").touch()
        options = [f"Dir::Etc={place}/etc", f"Dir::State={place}", f"Dir::State::status={place}/status"]
        options += [f"Dir::State::lists={place}/lists", f"Dir::Cache={place}", "APT::Sandbox::User=root"]
        apt = ["apt-get", "-qq", *[word for option in options for word in ("-o", option)]]
        subprocess.run([*apt, "update"], check=True)
        subprocess.run([*apt, "download", *packages], check=True, cwd=place / "archives")
        return sorted((place / "archives").glob("*.deb"))


def install(packages):
    """Returns the words of a RUN that installs packages and leaves nothing of apt's in the layer."""
    return (
        f"apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)}"
        " && apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin"
    )


def definition(name, packages, *, base=None, repositories=(), program=False, sources=None):
    """Returns the text of a definition."""
    lines = [f'image "bench/{name.lower()}" {{']
    if base:
        lines.append(f'  base_image = "{base}"')
    lines.append("  apt {")
    if sources:
        lines.append(f'    sources = "{sources}"')
    if repositories:
        lines += ["    repositories = [", *[f'      "{line}",' for line in repositories], "    ]"]
    lines += [*[f'    package "{package}" {{}}' for package in packages], "  }"]
    if program:
        lines += ['  file "/usr/local/bin/program" {', '    from_context { path = "program" }', '    mode = "0755"', "  }"]
        lines.append('  entrypoint = ["/usr/local/bin/program"]')
    return "\n".join([*lines, "}", ""])


def files(directory):
    """Returns the regular files of a directory, sorted."""
    found = []
    for parent, directories, names in os.walk(directory):
        directories.sort()
        paths = [Path(parent, name) for name in sorted(names)]
        found += [path for path in paths if path.is_file() and not path.is_symlink()]
    return found


def pack(directory, archive, size):
    """Writes a tar archive of so many bytes of a directory's files, over again from the first if need be; says where in it a
    file begins."""
    left, place, turn = size, None, 0
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        while left > 0:
            for path in files(directory):
                member = tarfile.TarInfo(f"{turn}/{path.relative_to(directory)}")
                member.size, member.mode = min(path.stat().st_size, left), path.stat().st_mode & 0o7777
                with open(path, "rb") as file:
                    tar.addfile(member, file)
                if place is None and member.size > CHANGED:
                    place = tar.offset - (member.size + 511) // 512 * 512
                left -= member.size
                if left <= 0:
                    break
            turn += 1
    return place
