"""Runs the workloads with estaleiro and its peers, and prints tables: see benches/builders.sh."""

import argparse
import json
from pathlib import Path

from . import builders, machine, report
from .bench import Bench, add_arguments, say
from .image import look

# A package without files, which estaleiro puts into each root that it makes of nothing.
ONLY_OURS = "usr-is-merged="
WORKLOADS = ["W1", "W2", "W3", "W3b", "W4"]


class Sequence:
    """One builder's runs of one workload in one round: every state, one after the other."""

    def __init__(self, bench, builder, workload, record):
        self.bench, self.builder, self.workload, self.record = bench, builder, workload, record

    def run(self):
        self.cold()
        self.builder.export_cache(self.workload)
        self.measure("warm no-op")
        if self.workload.source:
            self.workload.change(1)
            self.measure("warm source change")
            self.builder.export_cache(self.workload)
        self.builder.wipe()
        self.measure("no-op, empty worker")
        if self.workload.source:
            self.workload.change(2)
            self.builder.wipe()
            self.measure("source change, empty worker")
        self.builder.wipe()

    def cold(self):
        self.workload.change(0)
        self.builder.wipe()
        self.bench.registry.reset()
        self.builder.prepare()
        self.measure("cold")

    def measure(self, state):
        asked = len(self.bench.registry.asked())
        run = self.builder.run(self.workload)
        requests = self.bench.registry.asked()[asked:]
        pulled = [request for request in requests if request.startswith("GET") and "/blobs/" in request]
        pulled_base = any(layer in request for layer in self.bench.base_layers for request in pulled)
        said = {**vars(run), "requests": len(requests), "pulled_base": pulled_base}
        if state == "cold":
            said["image"] = vars(look(self.bench.registry, self.builder.image(self.workload), self.bench.base_layers))
        self.record(self.workload.name, state, self.builder.name, said)


class Records:
    """All runs, by workload, state and builder."""

    def __init__(self):
        self.runs = {}

    def add(self, workload, state, builder, run):
        self.runs.setdefault(workload, {}).setdefault(state, {}).setdefault(builder, []).append(run)
        say(f"  {workload} {state:28} {builder:18} {run['wall']:8.3f} s {run['cpu']:8.2f} s cpu {run['rss']:7.0f} MB")
        if "image" in run:
            self.compare(workload, builder, run["image"])

    def compare(self, workload, builder, image):
        """Ends the program if an image is not that of the builder before, or of estaleiro not the same bit by bit."""
        for other, runs in self.runs[workload]["cold"].items():
            theirs = runs[0]["image"]
            differ = set(image["packages"]) ^ set(theirs["packages"])
            differ = sorted(line for line in differ if not line.startswith(ONLY_OURS))
            if differ:
                raise SystemExit(f"{workload}: {builder} and {other} installed different packages: {differ}")
            ours = builder.startswith("estaleiro") and other.startswith("estaleiro")
            if ours and image["digest"] != theirs["digest"]:
                raise SystemExit(f"{workload}: {builder} and {other} made different images: {image} {theirs}")


def digests(bench, workload, n):
    """Builds so many times cold, in each sandbox in turn, on one processor and on all; returns the digests."""
    made = []
    ours = [builders.Namespaces(bench), builders.Chroot(bench)]
    for turn in range(n):
        builder = ours[turn % 2]
        workload.change(0)
        builder.wipe()
        bench.registry.reset()
        builder.run(workload, cpus="0" if turn % 4 < 2 else None)
        made.append(look(bench.registry, builder.image(workload), bench.base_layers).digest)
        builder.wipe()
    bench.trash.empty()
    return made


def ablations(bench, workload):
    """Measures cold builds with less told of them; returns the runs."""
    runs = {}
    bench.trash.settle()
    for name, options in {"all forms": [], "yaml alone": ["--bom-format", "yaml"]}.items():
        builder = builders.Namespaces(bench)
        builder.options = options
        workload.change(0)
        builder.wipe()
        bench.registry.reset()
        runs[name] = vars(builder.run(workload))
        builder.wipe()
    return runs


def arguments():
    parser = argparse.ArgumentParser(prog="benches/builders.sh", description=__doc__)
    names = [builder.name for builder in builders.ALL]
    some = {"type": lambda text: text.split(",")}
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run [5]")
    parser.add_argument("--workloads", **some, default=WORKLOADS, help=f"of {','.join(WORKLOADS)} [all]")
    parser.add_argument("--builders", **some, default=names, help=f"of {','.join(names)} [all]")
    parser.add_argument("--digests", type=int, default=10, help="cold builds whose digests are compared [10]")
    parser.add_argument("--json", help="where all that was measured goes [benches/results/DATE.json]")
    add_arguments(parser)
    return parser.parse_args()


def measured(bench, args):
    """Runs everything; returns what becomes the JSON."""
    facts, records = machine.facts(args.estaleiro), Records()
    workloads = [bench.maker.make(name) for name in args.workloads]
    asked = [builder(bench) for builder in builders.ALL if builder.name in args.builders]
    bench.trash.settle()
    for number in range(args.rounds):
        say(f"round {number + 1} of {args.rounds}")
        for workload in workloads:
            for builder in filter(lambda builder: builder.can(workload), asked):
                try:
                    Sequence(bench, builder, workload, records.add).run()
                finally:
                    builder.stop()
            bench.trash.settle()
    return {
        "machine": facts,
        "rounds": args.rounds,
        "titles": {workload.name: workload.title for workload in workloads},
        "runs": records.runs,
        **besides(bench, workloads, args),
    }


def besides(bench, workloads, args):
    """Returns what is measured of estaleiro alone."""
    if builders.Namespaces.name not in args.builders:
        return {"gzip": {}, "ablations": {}, "digests": {}}
    on_base = [workload for workload in workloads if workload.name in ("W1", "W2")]
    return {
        "gzip": {workload.name: machine.gzipped(workload.source) for workload in workloads if workload.name == "W3b"},
        "ablations": {workload.name: [ablations(bench, workload) for _ in range(args.rounds)] for workload in on_base},
        "digests": {workload.name: digests(bench, workload, args.digests) for workload in workloads},
    }


def main():
    args = arguments()
    with Bench(args) as bench:
        result = measured(bench, args)
    file = Path(args.json or f"benches/results/{result['machine']['date']}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(report.markdown(result))
    say(f"all that was measured: {file}")


if __name__ == "__main__":
    main()
