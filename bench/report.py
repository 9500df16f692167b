"""The results as docs/performance.md and a plot."""

import math
import os

BAR, GAP, LEFT, WIDTH = 14, 6, 230, 420


def plot(rows):
    """Ratios as horizontal bars; the line is 1: as fast as the fastest peer."""
    most = max(2.0, *(r["ratio"] for r in rows))
    scale = WIDTH / most
    height = (BAR + GAP) * len(rows) + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 60}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{LEFT + WIDTH + 60}" height="{height}" fill="white"/>',
    ]
    for i, row in enumerate(rows):
        y = 20 + i * (BAR + GAP)
        colour = "#3b7dd8" if row["ratio"] >= 1 else "#d8703b"
        text = f"{row['case']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}"
        out.append(f'<text x="{LEFT - 8}" y="{y + BAR - 3}" text-anchor="end">{text}</text>')
        out.append(f'<rect x="{LEFT}" y="{y}" width="{row["ratio"] * scale:.1f}" height="{BAR}" fill="{colour}"/>')
        out.append(f'<text x="{LEFT + row["ratio"] * scale + 4:.1f}" y="{y + BAR - 3}">{row["ratio"]:.2f}</text>')
    x = LEFT + scale
    out.append(f'<line x1="{x:.1f}" y1="10" x2="{x:.1f}" y2="{height - 6}" stroke="black" stroke-dasharray="3 3"/>')
    return "\n".join(out + ["</svg>", ""])


def seconds(t):
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)):
        if t * factor >= 1:
            return f"{t * factor:.3g} {unit}"
    return f"{t * 1e9:.2g} ns"


def write(folder, facts, rows, single, names):
    versions = ", ".join(sorted({v for n, v in facts["versions"].items() if n != "gradus"}))
    mean = math.exp(sum(math.log(r["ratio"]) for r in rows) / len(rows))
    text = f"""\
# Performance

Written by `./dev bench` on {facts["date"]}; run it again for your machine (`./dev bench --quick`: ratios only, under ten
minutes). Machine: {facts["machine"]}. Peers: {versions}.

Each contender runs in a process of its own, pinned to as many processors as it has threads, on the same parameters and
batches, in f32 where the row names no other type. Products are checked against f64 and losses against each other before anything is timed. A round gives
every contender the same time in turn; best and median are over {facts["rounds"]} rounds. *Ratio* is the fastest peer's
median divided by ours. Geometric mean of all rows: {mean:.2f}.

![ratios](performance.svg)

| work | threads | ours, best (median) | fastest peer | best (median) | ratio |
|---|---|---|---|---|---|
"""
    for row in rows:
        best, median = row["times"]["gradus"]
        peer_best, peer_median = row["times"][row["peer"]]
        text += (
            f"| {row['case']} | {row['threads']} | {seconds(best)} ({seconds(median)}) | {names[row['peer']]} "
            f"| {seconds(peer_best)} ({seconds(peer_median)}) | {row['ratio']:.2f} |\n"
        )
    text += f"\nThe gradient of the quadratic takes {single['quadratic_ns']:.1f} ns a call.\n\n"
    text += "From nothing to the end of the first training step, whole process, two threads:\n\n"
    text += "| model | | seconds | peak MB |\n|---|---|---|---|\n"
    for model, times in single["first_step"].items():
        for name, result in times.items():
            if result:
                text += f"| {model} | {names.get(name, 'Gradus')} | {result[0]:.2f} | {result[1]:.0f} |\n"
    notes = os.path.join(folder, "performance-notes.md")
    if os.path.exists(notes):
        with open(notes, encoding="utf-8") as file:
            text += "\n" + file.read()
    for name, content in (("performance.md", text), ("performance.svg", plot(rows))):
        with open(os.path.join(folder, name + ".tmp"), "w", encoding="utf-8") as file:
            file.write(content)
        os.rename(os.path.join(folder, name + ".tmp"), os.path.join(folder, name))
