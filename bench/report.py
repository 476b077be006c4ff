# SPDX-License-Identifier: Apache-2.0
"""Rows of ours against theirs, with the target that each has to reach, as a table and as JSON."""
import statistics


class Row:
    """One comparison. A target is ("<=" or ">=" or "<", limit) for the ratio ours / theirs, or for
    our value alone when nothing stands against it."""

    def __init__(self, what, unit, ours, theirs=None, against=None, target=None, note=None):
        self.what, self.unit, self.against, self.note = what, unit, against, note
        self.ours, self.theirs, self.target = middle(ours), middle(theirs), target

    @property
    def ratio(self):
        return None if self.theirs is None else self.ours / self.theirs

    @property
    def is_met(self):
        """None without a target."""
        if self.target is None:
            return None
        sign, limit = self.target
        value = self.ours if self.ratio is None else self.ratio
        return {"<=": value <= limit, ">=": value >= limit, "<": value < limit}[sign]

    def as_dict(self):
        return {"what": self.what, "unit": self.unit, "ours": self.ours, "theirs": self.theirs,
                "against": self.against, "ratio": self.ratio,
                "target": None if self.target is None else " ".join(map(str, self.target)),
                "met": self.is_met, "note": self.note}


class Skipped:
    """A row that this machine cannot measure, by name."""

    def __init__(self, what, reason):
        self.what, self.reason = what, reason

    def as_dict(self):
        return {"what": self.what, "skipped": self.reason}


def middle(value):
    """The median of a list of rounds; a single number as it is."""
    return statistics.median(value) if isinstance(value, list) else value


def number(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def table(rows):
    """The rows as aligned text."""
    head = ("what", "unit", "ours", "theirs", "against", "ratio", "target", "met")
    lines = [head]
    for row in rows:
        if isinstance(row, Skipped):
            lines.append((row.what, f"skipped: {row.reason}", *[""] * 6))
            continue
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        target = "" if row.target is None else f"{row.target[0]} {row.target[1]:g}"
        met = {None: "", True: "yes", False: "NO"}[row.is_met]
        lines.append((row.what, row.unit, number(row.ours), number(row.theirs), row.against or "",
                      ratio, target, met))
    full = [line for line in lines if not line[1].startswith("skipped")]
    widths = [max(len(line[i]) for line in full) for i in range(len(head))]
    widths[0] = max(len(line[0]) for line in lines)
    numeric = (2, 3, 5)
    text = []
    for line in lines:
        if line[1].startswith("skipped"):
            text.append(f"{line[0]:{widths[0]}}  {line[1]}")
            continue
        cells = [f"{cell:>{width}}" if i in numeric else f"{cell:{width}}"
                 for i, (cell, width) in enumerate(zip(line, widths))]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def verdict(rows):
    judged = [row for row in rows if isinstance(row, Row) and row.is_met is not None]
    missed = [row.what for row in judged if not row.is_met]
    skipped = [row.what for row in rows if isinstance(row, Skipped)]
    notes = sorted({row.note for row in rows if isinstance(row, Row) and row.note})
    lines = [f"note: {note}" for note in notes]
    lines += [f"{len(judged) - len(missed)} of {len(judged)} targets met"]
    lines += [f"missed: {what}" for what in missed]
    lines += [f"skipped: {what}" for what in skipped]
    return "\n".join(lines)
