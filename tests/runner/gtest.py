# SPDX-License-Identifier: Apache-2.0
"""Reads what a GoogleTest program prints, also when it dies half-way."""
import re

from results import FAILED, PASSED, SKIPPED, Case

_RUN = re.compile(r"\[ RUN      \] (\S+)")
_END = re.compile(r"\[ *(OK|FAILED|SKIPPED) *\] ([^\s,]+).* \(\d+ ms\)$")
_OUTCOMES = {"OK": PASSED, "FAILED": FAILED, "SKIPPED": SKIPPED}


class Reader:
    """Fed with lines; `cases` are those that have ended."""

    def __init__(self):
        self.cases = []
        self.running = None  # The case that has begun and not ended.
        self._said = []

    def line(self, text):
        begun = _RUN.search(text)
        if begun:
            self.running, self._said = begun.group(1), []
            return
        ended = _END.search(text)
        if ended and self.running:
            outcome = _OUTCOMES[ended.group(1)]
            note = {SKIPPED: self._skip_reason, FAILED: self._failure_text}.get(outcome, str)()
            self.cases.append(Case(ended.group(2), outcome, note))
            self.running = None
        elif self.running:
            self._said.append(text)

    def _skip_reason(self):
        for index, said in enumerate(self._said):
            if said.endswith(": Skipped"):
                return " ".join(self._said[index + 1:]).strip()
        return " ".join(self._said).strip()

    def _failure_text(self):
        return " | ".join(said.strip() for said in self._said if said.strip())[:400]


def finish(reader, program, status, end_text):
    """The cases of a program that ended with `status`; a death is a failed case of its own."""
    cases = list(reader.cases)
    if reader.running:
        cases.append(Case(reader.running, FAILED, end_text))
    elif status != 0 and not any(case.outcome == FAILED for case in cases):
        cases.append(Case(program, FAILED, end_text))
    elif status == 0 and not cases:
        cases.append(Case(program, PASSED))  # Not a GoogleTest program: one case.
    return cases
