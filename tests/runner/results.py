# SPDX-License-Identifier: Apache-2.0
"""What a test run found, and how it is told on the terminal."""
import dataclasses
import sys
import time

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclasses.dataclass(frozen=True)
class Case:
    """One test case: what counts in the closing line."""

    name: str
    outcome: str
    note: str = ""  # Why it was skipped, or what failed.


def count(cases, outcome):
    return sum(1 for case in cases if case.outcome == outcome)


def count_text(cases):
    """'12 passed, 1 skipped'; what is zero is left out, except for passed."""
    words = [f"{count(cases, PASSED)} passed"]
    words += [f"{count(cases, o)} {o}" for o in (FAILED, SKIPPED) if count(cases, o)]
    return ", ".join(words)


def minutes(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def lines_of(outcome, stages):
    """Each case with this outcome once, with its reason and the stages where it had it.

    `stages` are (stage name, cases) pairs.
    """
    found = {}
    for stage, cases in stages:
        for case in cases:
            if case.outcome == outcome:
                found.setdefault((case.name, case.note), []).append(stage)
    return [f"  {name} [{', '.join(where)}]: {note or 'no reason given'}"
            for (name, note), where in sorted(found.items())]


def closing_line(cases):
    return ", ".join(f"{count(cases, o)} {o}" for o in (PASSED, FAILED, SKIPPED))


class Progress:
    """A line that moves on a terminal; elsewhere a line now and then, so that a log shows life.

    A silent one says only how it ended.
    """

    quiet_seconds = 30

    def __init__(self, label, out=sys.stdout, is_silent=False):
        self.label, self.out, self.is_silent = label, out, is_silent
        self.is_terminal = out.isatty()
        self.started = self.told = time.monotonic()

    def tell(self, text):
        if self.is_silent:
            return
        now = time.monotonic()
        if self.is_terminal:
            line = f"{self.label} {minutes(now - self.started)}  {text}"
            self.out.write("\r\033[K" + line[:110])
            self.out.flush()
        elif now - self.told >= self.quiet_seconds:
            self.told = now
            print(f"      ... {self.label} {minutes(now - self.started)}  {text[:90]}",
                  file=self.out, flush=True)

    def end(self, text):
        if self.is_terminal:
            self.out.write("\r\033[K")
        print(f"{self.label} {minutes(time.monotonic() - self.started):>6}  {text}",
              file=self.out, flush=True)
