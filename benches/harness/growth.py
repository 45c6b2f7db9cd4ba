"""Measures how time and memory grow with the work: see benches/growth.sh."""

import argparse
import json
from pathlib import Path
from statistics import median

from . import machine
from .bench import Bench, add_arguments, say
from .builders import Namespaces
from .image import look
from .report import number, row
from .workloads import Workload, definition, files, pack

# What is asked for, by about how many packages come with it on a minbase root.
PACKAGES = {
    1: ["dumb-init"],
    10: ["file", "iproute2"],
    100: ["build-essential", "git", "python3", "openssh-client", "curl", "vim"],
    700: ["gnome-core"],
}
BYTES = [10_000_000, 100_000_000, 2_000_000_000]
FILES = [10, 100, 1_000, 10_000]
STAGES = [1, 4, 16, 64]
A_FILE = 1_000  # bytes


class Growth:
    """The workloads of each kind, by their size."""

    def __init__(self, maker):
        self.maker = maker

    def packages(self, n):
        directory = self.maker.fresh(f"packages-{n}")
        (directory / "estaleiro.hcl").write_text(definition("packages", PACKAGES[n], base=self.maker.base))
        return Workload(f"packages-{n}", f"about {n} packages", directory)

    def bytes(self, n):
        directory = self.maker.fresh(f"bytes-{n}")
        pack(self.maker.software(), directory / "payload.tar", n)
        (directory / "Dockerfile").write_text("FROM scratch\nADD payload.tar /opt/\n")
        return Workload(f"bytes-{n}", f"{n // 1_000_000} MB", directory)

    def files(self, n):
        directory = self.maker.fresh(f"files-{n}")
        with open(files(self.maker.software())[0], "rb") as content:
            for number in range(n):
                file = directory / f"content/{number // 100}/{number}"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.read(A_FILE))
        (directory / "Dockerfile").write_text("FROM scratch\nCOPY content /content\n")
        return Workload(f"files-{n}", f"{n} files", directory)

    def stages(self, n):
        directory = self.maker.fresh(f"stages-{n}")
        lines = [f"FROM {self.maker.base} AS stage0", "RUN echo 0 >/stage0"]
        for number in range(1, n):
            lines += [f"FROM {self.maker.base} AS stage{number}", f"RUN echo {number} >/stage{number}"]
            lines += [f"COPY --from=stage{number - 1} /stage* /"]
        (directory / "Dockerfile").write_text("\n".join([*lines, ""]))
        return Workload(f"stages-{n}", f"{n} stages", directory)


KINDS = {"packages": list(PACKAGES), "bytes": BYTES, "files": FILES, "stages": STAGES}


def measured(bench, args):
    """Runs everything, interleaved; returns what becomes the JSON."""
    growth, builder = Growth(bench.maker), Namespaces(bench)
    result = {"machine": machine.facts(args.estaleiro), "rounds": args.rounds, "runs": {kind: {} for kind in args.only}}
    for kind in args.only:
        for _ in range(args.rounds):
            for n in KINDS[kind]:
                workload = getattr(growth, kind)(n)
                builder.wipe()
                bench.registry.reset()
                run = vars(builder.run(workload))
                image = look(bench.registry, builder.image(workload), bench.base_layers)
                run |= {"n_packages": len(image.packages), "compressed": image.compressed}
                result["runs"][kind].setdefault(str(n), []).append(run)
                say(f"  {workload.title:22} {run['wall']:8.3f} s {run['cpu']:8.2f} s cpu {run['rss']:7.0f} MB")
                builder.wipe()
            bench.trash.settle()
    return result


def markdown(result):
    """Returns a table of each kind."""
    parts = []
    for kind, sizes in result["runs"].items():
        lines = [row([kind, "wall, s", "CPU, s", "peak, MB", "layers, MB", "packages in the image"]), row(["---"] * 6)]
        for n, runs in sizes.items():
            wall, cpu, rss = (number(median(run[what] for run in runs), 2) for what in ("wall", "cpu", "rss"))
            lines.append(row([n, wall, cpu, rss, number(runs[0]["compressed"] / 1e6, 1), str(runs[0]["n_packages"] or "")]))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main():
    parser = argparse.ArgumentParser(prog="benches/growth.sh", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run [3]")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(KINDS), help=f"of {','.join(KINDS)} [all]")
    parser.add_argument("--json", help="where all that was measured goes [benches/results/growth-DATE.json]")
    add_arguments(parser)
    args = parser.parse_args()
    with Bench(args) as bench:
        result = measured(bench, args)
    file = Path(args.json or f"benches/results/growth-{result['machine']['date']}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(markdown(result))
    say(f"all that was measured: {file}")


if __name__ == "__main__":
    main()
