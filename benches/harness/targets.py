"""What the figures are meant to be, and whether they are."""

from statistics import median

COLD, NO_OP, CHANGE = "cold", "no-op, empty worker", "source change, empty worker"

# (workload, state, who takes longer, who takes less, at least so many times as long)
AT_LEAST = [
    ("W1", COLD, "buildah", "estaleiro", 1.9),
    ("W2", COLD, "buildah", "estaleiro", 5),
    ("W3b", COLD, "buildah", "estaleiro", 5),
    ("W3", COLD, "dockerd", "estaleiro", 2),
    ("W4", COLD, "mmdebstrap", "estaleiro", 4.5),
    ("W1", NO_OP, "dockerd", "estaleiro-out", 50),
    ("W1", CHANGE, "dockerd", "estaleiro-out", 12),
]

# (workload, state, builder, what, at most)
AT_MOST = [
    ("W1", NO_OP, "estaleiro-out", "wall", 0.040),
    ("W1", "warm no-op", "estaleiro", "wall", 0.040),
    ("W1", "warm source change", "estaleiro", "wall", 0.15),
    ("W1", COLD, "estaleiro", "rss", 40),
    ("W2", COLD, "estaleiro", "rss", 96),
    ("W3b", COLD, "estaleiro", "rss", 48),
]

CHROOT_AT_MOST = 1.3  # times namespaces, on every workload
UNITS = {"wall": "s", "rss": "MB"}


def markdown(figures):
    """Returns a table of those targets for which there are figures."""
    lines = ["### Targets", "", "| | target | measured | |", "| --- | --- | --- | --- |"]
    for some in (at_least, at_most, chroot, layer, base, digests, told):
        lines += [f"| {what} | {wanted} | {got} | {verdict(met)} |" for what, wanted, got, met in some(figures)]
    return "\n".join(lines)


def verdict(met):
    return {True: "met", False: "**missed**", None: ""}[met]


def at_least(figures):
    for workload, state, slow, fast, wanted in AT_LEAST:
        ratio = figures.ratio(workload, state, slow, fast)
        if ratio:
            yield f"{workload} {state}: {slow} / {fast}", f"≥ {wanted}×", f"{ratio:.2f}×", ratio >= wanted


def at_most(figures):
    for workload, state, builder, what, wanted in AT_MOST:
        got = figures.of(workload, state, builder, what)
        unit = UNITS[what]
        if got:
            yield f"{workload} {state}: {builder}, {what}", f"≤ {wanted} {unit}", f"{got:.3g} {unit}", got <= wanted


def chroot(figures):
    for workload in figures.runs:
        ratio, wanted = figures.ratio(workload, COLD, "estaleiro-chroot"), CHROOT_AT_MOST
        if ratio:
            yield f"{workload} cold: chroot / namespaces", f"≤ {wanted}×", f"{ratio:.2f}×", ratio <= wanted


def layer(figures):
    for workload, most in figures.result["gzip"].items():
        runs = figures.runs[workload][COLD].get("estaleiro")
        if runs:
            got = runs[0]["image"]["compressed"]
            yield f"{workload}: layer / gzip -6", "≤ 1", f"{got / most:.4f}", got <= most


def base(figures):
    for name in ("estaleiro", "estaleiro-out"):
        runs = figures.runs.get("W1", {}).get(CHANGE, {}).get(name, [])
        if runs:
            pulled = sum(run["pulled_base"] for run in runs)
            yield f"W1 {CHANGE}: {name}, runs that pulled the base", "0", str(pulled), pulled == 0


def digests(figures):
    for workload, made in figures.result["digests"].items():
        if made:
            alike = made.count(made[0])
            what = f"{workload}: digests alike, one thread and all, both sandboxes"
            yield what, f"{len(made)}", f"{alike}", alike == len(made)


def told(figures):
    """The forms of a bill of materials that can be left out: not its own form, and not the lock."""
    for workload, rounds in figures.result["ablations"].items():
        if rounds:
            full, less = (median(runs[name]["wall"] for runs in rounds) for name in ("all forms", "yaml alone"))
            share = (full - less) / full
            yield f"{workload} cold: share of CycloneDX and SPDX", "≤ 3 %", f"{share * 100:.1f} %", share <= 0.03
