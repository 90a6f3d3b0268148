# SPDX-License-Identifier: Apache-2.0
"""What was measured: rows, the table for people, JSON for programs, the table of the document."""

import json
import os
import re

BEGIN, END = "<!-- figures: written by tests/bench/run --document -->", "<!-- end of figures -->"


class Row:
    """One figure.  `how`: what stands behind one unit of it; `detail`: what else was seen; `cpu`:
    processors used, by whom (1.0: one of them, busy)."""

    def __init__(self, name, value, unit, how="", detail=None, cpu=None):
        self.name, self.value, self.unit, self.how = name, value, unit, how
        self.detail, self.cpu = detail or {}, cpu or {}

    def as_dict(self):
        return {"name": self.name, "value": round(self.value, 3), "unit": self.unit, "how": self.how,
                "detail": self.detail, "cpu": self.cpu}


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def pairs(values):
    return ", ".join(f"{key} {number(v) if isinstance(v, float) else v}" for key, v in values.items())


def cost_text(row):
    """What one unit of a rate costs, by who pays; else how busy each was."""
    cpu = {name: used for name, used in row["cpu"].items() if name != "others" and used >= 0.005}
    if row["unit"].endswith("/s") and row["value"] > 0:
        return ", ".join(f"{name} {number(used * 1e6 / row['value'])} µs" for name, used in cpu.items())
    return ", ".join(f"{name} {used:.0%}" for name, used in cpu.items())


def print_row(row):
    print(f"  {row['name']:<62} {number(row['value']):>11} {row['unit']:<10} {row['how']:<14}", flush=True)
    if row["detail"]:
        print(f"      {pairs(row['detail'])}")
    if row["cpu"]:
        print(f"      processor time: {cost_text(row)}; others {row['cpu']['others']:.0%}", flush=True)


def write_json(path, result):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")


def markdown(result):
    m = result["machine"]
    lines = [
        f"Taken {result['when']} at commit `{m['commit']}`: {m['processors']} × {m['processor']}, "
        f"{m['memory_gib']} GiB, {m['system']}, Linux {m['kernel']}; {m['postgres']}; "
        f"{m['redis'].split(' sha=')[0]}. Load average before: {m['load_before']:.2f}.",
        "", "| measurement | figure | | how | seen with it | processor time | others |",
        "|---|---:|---|---|---|---|---:|"]
    for row in result["rows"]:
        lines.append("| " + " | ".join([
            row["name"], number(row["value"]), row["unit"], row["how"], pairs(row["detail"]),
            cost_text(row), f"{row['cpu'].get('others', 0):.0%}" if row["cpu"] else ""]) + " |")
    return "\n".join(lines)


def write_document(path, result):
    """Replace what stands between the marks of docs/PERFORMANCE.md."""
    with open(path) as f:
        text = f.read()
    found = re.search(re.escape(BEGIN) + ".*?" + re.escape(END), text, re.S)
    assert found, f"{path} has no place for figures"
    with open(path, "w") as f:
        f.write(text[:found.start()] + f"{BEGIN}\n\n{markdown(result)}\n\n{END}" + text[found.end():])
