"""Tables of what was measured. What the targets say to it is in targets.py."""

from statistics import median

from . import targets

STATES = ["cold", "no-op, empty worker", "source change, empty worker", "warm no-op", "warm source change"]


class Figures:
    """Medians of a result."""

    def __init__(self, result):
        self.result, self.runs = result, result["runs"]

    def of(self, workload, state, builder, what):
        """Returns the median of `wall`, `cpu`, `rss` …; None where nothing was run."""
        runs = self.runs.get(workload, {}).get(state, {}).get(builder)
        return median(run[what] for run in runs) if runs else None

    def builders(self):
        """Returns the names of all builders, in the order in which they were run."""
        found = [name for states in self.runs.values() for by_builder in states.values() for name in by_builder]
        return list(dict.fromkeys(found))

    def ratio(self, workload, state, builder, to="estaleiro"):
        """Returns how many times as long as another one a builder takes."""
        theirs, own = self.of(workload, state, builder, "wall"), self.of(workload, state, to, "wall")
        return theirs / own if theirs and own else None

    def rows(self):
        """Returns the (workload, state) pairs that were run."""
        return [(name, state) for name, states in self.runs.items() for state in STATES if state in states]


def markdown(result):
    """Returns all tables."""
    figures = Figures(result)

    def seconds(*key):
        wall, ratio = figures.of(*key, "wall"), figures.ratio(*key)
        return number(wall, 3) + (f" ({ratio:.1f}×)" if ratio and key[2] != "estaleiro" else "")

    parts = [
        about(result),
        table(figures, "Wall seconds (× estaleiro's)", seconds),
        table(figures, "CPU seconds of the whole tree, daemon included", lambda *key: number(figures.of(*key, "cpu"), 2)),
        table(figures, "Peak memory of the whole tree, MB", lambda *key: number(figures.of(*key, "rss"), 0)),
        sizes(figures),
        targets.markdown(figures),
    ]
    return "\n\n".join(parts)


def about(result):
    said, versions = result["machine"], result["machine"]["versions"]
    others = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "estaleiro")
    titles = "\n".join(f"- **{name}**: {title}" for name, title in result["titles"].items())
    return (
        f"{said['date']}, {said['processors']} × {said['processor']}, {said['memory']}, Linux {said['kernel']}, "
        f"{said['system']}, load before {said['load']:.2f}. Medians of {result['rounds']}.\n"
        f"{versions['estaleiro']} ({said['commit']}), {others}.\n\n{titles}"
    )


def table(figures, title, cell):
    """Returns a table of workloads and states by builders."""
    builders = figures.builders()
    lines = [f"### {title}", "", row(["", *builders]), row(["---"] * (len(builders) + 1))]
    for workload, state in figures.rows():
        lines.append(row([f"{workload} {state}", *[cell(workload, state, builder) for builder in builders]]))
    return "\n".join(lines)


def sizes(figures):
    """Returns a table of the layers that the builders pushed, without the base's."""
    builders = figures.builders()
    lines = ["### Compressed layers, MB", "", row(["", *builders]), row(["---"] * (len(builders) + 1))]
    for workload, states in figures.runs.items():
        images = {builder: runs[0]["image"]["compressed"] / 1e6 for builder, runs in states["cold"].items()}
        lines.append(row([workload, *[number(images.get(builder), 2) for builder in builders]]))
    return "\n".join(lines)


def row(cells):
    return "| " + " | ".join(cells) + " |"


def number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"
