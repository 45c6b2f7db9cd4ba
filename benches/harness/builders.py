"""The builders: how each is asked for a workload, and how what it keeps is wiped."""

import json
import os
import subprocess
import time

from .measure import Run, cpu_of, measure
from .servers import Dockerd


class Builder:
    """One who builds a workload and pushes it to `REGISTRY/NAME:latest`."""

    name = ""

    def __init__(self, bench):
        self.bench = bench
        self.store = bench.directory / "stores" / self.name
        self.store.parent.mkdir(exist_ok=True)
        self.log = bench.directory / f"{self.name}.log"

    def can(self, workload):
        return workload.has_dockerfile

    def image(self, workload):
        return f"{self.bench.registry.host}/{self.name}/{workload.name.lower()}"

    def environment(self, **more):
        home = self.bench.directory / "home"
        home.mkdir(exist_ok=True)
        return {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(self.bench.temporary), **more}

    def wipe(self):
        """Forgets everything but what the registry holds."""
        self.bench.trash.put(self.store)

    def prepare(self):
        """Starts what must run before anything is measured."""

    def run(self, workload, *, cpus=None):
        """Builds and pushes, and returns a Run."""
        raise NotImplementedError

    def export_cache(self, workload):
        """Pushes what an empty worker can go on from, if that isn't part of each run."""

    def stop(self):
        """Ends what it runs."""


class Estaleiro(Builder):
    """`estaleiro build --push`."""

    sandbox = "namespaces"
    options = ()

    def can(self, workload):
        return True

    def environment(self):
        return super().environment(ESTALEIRO_STATE=str(self.store), ESTALEIRO_SANDBOX=self.sandbox)

    def run(self, workload, *, cpus=None):
        return measure(self.command(workload), self.log, env=self.environment(), cpus=cpus)

    def command(self, workload):
        what = [workload.directory]
        if not (workload.directory / "estaleiro.hcl").exists():
            what = ["-f", workload.directory / "Dockerfile", workload.directory]
        return [self.bench.estaleiro, "build", *what, "--push", self.image(workload), *self.options]


class Namespaces(Estaleiro):
    name = "estaleiro"


class Chroot(Estaleiro):
    name = "estaleiro-chroot"
    sandbox = "chroot"


class Out(Estaleiro):
    """The resource's `out`, as Concourse runs it: a request on the standard input, the inputs in a directory."""

    name = "estaleiro-out"

    def command(self, workload):
        is_definition = (workload.directory / "estaleiro.hcl").exists()
        params = {"definition": "."} if is_definition else {"dockerfile": "Dockerfile"}
        source = {"repository": self.image(workload), "tag": "latest"}
        request = self.bench.directory / "request.json"
        request.write_text(json.dumps({"source": source, "params": params}))
        return ["sh", "-c", 'exec "$0" "$1" <"$2"', self.bench.out, workload.directory, request]


class Buildah(Builder):
    """`buildah build --isolation chroot` and `buildah push`; on an empty worker with the cache that a run before pushed."""

    name = "buildah"

    def __init__(self, bench):
        super().__init__(bench)
        places = f"--root {self.store}/root --runroot {self.store}/run --storage-driver overlay"
        self.buildah = f"buildah {places}"
        self.build = f"{self.buildah} build --isolation chroot --network host --layers --tls-verify=false"

    def run(self, workload, *, cpus=None):
        return measure(["sh", "-ec", self.script(workload)], self.log, env=self.environment(), cpus=cpus)

    def script(self, workload):
        image = self.image(workload)
        cached = f"--cache-from {image}-cache" if self.has_cache(image) else ""
        build = f"{self.build} {cached} -t {image} {workload.directory}"
        return f"{build}\n{self.buildah} push --tls-verify=false {image}"

    def has_cache(self, image):
        """The cache counts only where there is none of its own, as it is asked first."""
        return not self.store.exists() and self.bench.registry.has(f"{image}-cache")

    def export_cache(self, workload):
        image = self.image(workload)
        script = f"{self.build} --cache-to {image}-cache -t {image} {workload.directory}"
        subprocess.run(["sh", "-ec", script], env=self.environment(), check=True, capture_output=True)


class Docker(Builder):
    """dockerd's BuildKit, kept running while its store is kept. On an empty worker it goes on from the inline cache of the
    image that was pushed last, and its start counts: the shape of a task that builds with an imported cache, and a put."""

    name = "dockerd"

    def __init__(self, bench):
        super().__init__(bench)
        self.daemon = Dockerd(self.store)
        self.docker = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"

    def environment(self):
        return super().environment(DOCKER_BUILDKIT="1", DOCKER_HOST=self.daemon.socket)

    def wipe(self):
        self.daemon.stop()
        super().wipe()

    def prepare(self):
        self.daemon.start()

    def run(self, workload, *, cpus=None):
        if self.daemon.pids():
            return self.build(workload, cpus)
        began = time.perf_counter()
        self.daemon.start()
        start, used = time.perf_counter() - began, cpu_of(self.daemon.pids())
        run = self.build(workload, cpus)
        return Run(run.wall + start, run.cpu + used, run.rss, start)

    def build(self, workload, cpus):
        image = self.image(workload)
        cached = f"--cache-from {image}" if self.bench.registry.has(image) else ""
        options = f"--network host --build-arg BUILDKIT_INLINE_CACHE=1 {cached}"
        script = f"{self.docker} build {options} -t {image} {workload.directory}\n{self.docker} push {image}"
        command, env = ["sh", "-ec", script], self.environment()
        return measure(command, self.log, env=env, daemons=self.daemon.pids(), cpus=cpus)

    def stop(self):
        self.daemon.stop()


class Mmdebstrap(Builder):
    """mmdebstrap, umoci for the image, skopeo for the push: for roots from an archive alone."""

    name = "mmdebstrap"

    def can(self, workload):
        return workload.name == "W4"

    def run(self, workload, *, cpus=None):
        self.wipe()
        script = minbase_script(self.bench.mirror, self.store, f"{self.image(workload)}:latest")
        return measure(["sh", "-ec", script], self.log, env=self.environment(), cpus=cpus)


def minbase_script(mirror, place, image):
    """Returns commands that make a minbase root and push it."""
    sources = "\n".join(mirror.sources())
    return f"""mkdir -p {place}
mmdebstrap --variant=minbase {mirror.suite} {place}/root.tar - <<END
{sources}
END
umoci init --layout {place}/oci
umoci new --image {place}/oci:latest
umoci raw add-layer --image {place}/oci:latest {place}/root.tar
skopeo copy --quiet --dest-tls-verify=false oci:{place}/oci:latest docker://{image}
"""


ALL = [Namespaces, Chroot, Out, Buildah, Docker, Mmdebstrap]
