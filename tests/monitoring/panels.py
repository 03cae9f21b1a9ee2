"""Draws the panels of the dashboards from data that the test of `tests/it/api_tier/monitoring.rs` saves.

usage: panels.py PANELS.json DIRECTORY    writes DIRECTORY/dashboard-NAME.svg for each dashboard
"""

import html
import json
import math
import pathlib
import sys

COLUMNS, WIDTH, HEIGHT, MARGIN = 3, 420, 210, 12
COLORS = ["#3b7dd8", "#e5893c", "#3f9e6b", "#c94f5f", "#8663b7", "#8a6d52", "#d072b0", "#6f7680", "#a7a32b", "#2ba5b5"]
LEGEND = 4


def number(value, unit):
    """A value in its unit, with three digits."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "bytes":
        for suffix in ["B", "KiB", "MiB", "GiB"]:
            if abs(value) < 1024 or suffix == "GiB":
                return f"{value:.3g} {suffix}"
            value /= 1024
    if unit == "s" and 0 < abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    suffix = {"s": " s", "reqps": "/s", "ops": "/s"}.get(unit, "")
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}") + suffix


def text(x, y, content, more=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{html.escape(content)}</text>'


def chart(panel, x, y):
    """A panel with lines, or with the last value of each series if it is a number or a table."""
    out = [f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" class="panel"/>']
    out.append(text(x + 10, y + 18, panel["title"], 'class="title"'))
    series = sorted(panel["series"], key=lambda one: -max(value for _, value in one["points"]))
    unit = panel["unit"]
    if panel["kind"] != "timeseries":
        size = 30 if panel["kind"] == "stat" else 12
        for index, one in enumerate(series[:8]):
            value = number(one["points"][-1][1], unit)
            label = f'{one["legend"]}  {value}'.strip()
            out.append(text(x + 14, y + 44 + size / 2 + index * (size + 6), label, f'style="font-size:{size}px"'))
        return out
    left, top, width, height = x + 62, y + 30, WIDTH - 76, HEIGHT - 110
    points = [point for one in series for point in one["points"]]
    first, last = min(t for t, _ in points), max(t for t, _ in points)
    highest = max(value for _, value in points) or 1
    lowest = min(0, min(value for _, value in points))
    step = 10 ** math.floor(math.log10((highest - lowest) or 1))
    highest = math.ceil(highest / step) * step
    for tick in range(4):
        value = lowest + (highest - lowest) * tick / 3
        line = top + height - height * tick / 3
        out.append(f'<line x1="{left}" y1="{line:.1f}" x2="{left + width}" y2="{line:.1f}" class="grid"/>')
        out.append(text(left - 5, line + 4, number(value, unit), 'text-anchor="end"'))
    out.append(text(left + width, top + height + 14, f"{last - first:.0f} s", 'text-anchor="end"'))
    for index, one in enumerate(series):
        color = COLORS[index % len(COLORS)]
        path = " ".join(
            f"{left + width * (t - first) / ((last - first) or 1):.1f},"
            f"{top + height - height * (value - lowest) / ((highest - lowest) or 1):.1f}"
            for t, value in one["points"]
        )
        out.append(f'<polyline points="{path}" stroke="{color}"/>')
        if index < LEGEND:
            line = top + height + 28 + 13 * index
            more = f" and {len(series) - LEGEND} more" if index == LEGEND - 1 and len(series) > LEGEND else ""
            out.append(f'<rect x="{x + 14}" y="{line - 8:.0f}" width="9" height="9" fill="{color}"/>')
            out.append(text(x + 28, line, (one["legend"] or panel["title"])[:58] + more))
    return out


def draw(title, panels):
    rows = math.ceil(len(panels) / COLUMNS)
    width = COLUMNS * (WIDTH + MARGIN) + MARGIN
    height = rows * (HEIGHT + MARGIN) + MARGIN + 34
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f"<title>{html.escape(title)}</title>",
        "<style>.panel{fill:#fff;stroke:#d5d9de}.grid{stroke:#e8ebee}.title{font-weight:bold;font-size:12px}"
        "polyline{fill:none;stroke-width:1.6}text{fill:#24292f}</style>",
        f'<rect width="{width}" height="{height}" fill="#f4f5f7"/>',
        text(MARGIN, 27, title, 'style="font-size:17px;font-weight:bold"'),
    ]
    for index, panel in enumerate(panels):
        x = MARGIN + index % COLUMNS * (WIDTH + MARGIN)
        out += chart(panel, x, 40 + index // COLUMNS * (HEIGHT + MARGIN))
    return "\n".join([*out, "</svg>", ""])


def main():
    panels = json.loads(pathlib.Path(sys.argv[1]).read_text())
    for title in sorted({panel["dashboard"] for panel in panels}):
        name = title.rsplit(" ", 1)[-1].lower()
        own = [panel for panel in panels if panel["dashboard"] == title and panel["series"]]
        path = pathlib.Path(sys.argv[2]) / f"dashboard-{name}.svg"
        path.write_text(draw(title, own))
        print(path)


main()
