# SPDX-License-Identifier: Apache-2.0
"""run_unittest.py TEST_FILE RESULT_FILE [PATTERN]: runs the unittest cases of one file.

Each case appends one JSON line {"name", "outcome", "note"} to RESULT_FILE when it ends, so that
what ran before a crash is known.
"""
import importlib.util
import json
import pathlib
import signal
import sys
import unittest

from results import FAILED, PASSED, SKIPPED


class Recorder(unittest.TextTestResult):
    """Writes what happens as it happens."""

    def __init__(self, *arguments, result_file=None, stem="", **keywords):
        super().__init__(*arguments, **keywords)
        self._result_file, self._stem = result_file, stem
        self._has_failed_part = False

    def _name(self, test):
        identity = test.id()
        if identity.startswith(("setUp", "tearDown")):  # "setUpClass (disk_test.DiskTest)"
            return f"{self._stem}.{identity[:-1].rsplit('.', 1)[-1]}"
        return f"{self._stem}.{identity.split('.', 1)[-1]}"

    def _record(self, test, outcome, note=""):
        json.dump({"name": self._name(test), "outcome": outcome, "note": note}, self._result_file)
        self._result_file.write("\n")
        self._result_file.flush()

    def startTest(self, test):
        self._has_failed_part = False
        super().startTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        if not self._has_failed_part:
            self._record(test, PASSED)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._record(test, FAILED, str(err[1]).splitlines()[0] if str(err[1]) else repr(err[1]))

    def addError(self, test, err):
        super().addError(test, err)
        self._record(test, FAILED, repr(err[1]))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._record(test, SKIPPED, reason)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._has_failed_part = True
            self._record(subtest, FAILED, repr(err[1]))

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._record(test, PASSED)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._record(test, FAILED, "passed, but was expected to fail")


def load(path):
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def end_by_exception(number, _frame):
    """A signal unwinds the tests, so that their clean-up runs."""
    sys.exit(128 + number)


def main():
    path, result_path = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    signal.signal(signal.SIGTERM, end_by_exception)
    loader = unittest.TestLoader()
    if len(sys.argv) > 3:
        loader.testNamePatterns = [f"*{sys.argv[3]}*"]
    suite = loader.loadTestsFromModule(load(path))
    if suite.countTestCases() == 0:
        sys.exit(f"{path.name} holds no test case")
    with open(result_path, "a", encoding="utf-8") as result_file:
        runner = unittest.TextTestRunner(
            verbosity=2, stream=sys.stdout,
            resultclass=lambda *a, **k: Recorder(*a, result_file=result_file, stem=path.stem, **k))
        result = runner.run(suite)
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
