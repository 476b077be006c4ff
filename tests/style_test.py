# SPDX-License-Identifier: Apache-2.0
"""The rules of STYLE.md that a program can check, over every file that git knows."""
import ast
import pathlib
import re
import subprocess
import unittest

import cxx_functions

ROOT = pathlib.Path(__file__).resolve().parents[1]

PRODUCT_LINES, TEST_LINES, FUNCTION_LINES, COLUMNS = 400, 800, 70, 100
_SPDX = "SPDX-License-Identifier: Apache-2.0"
# Written apart, so that this file does not find itself.
_MARKS = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]
_UNFINISHED = re.compile(r"\b(" + "|".join(_MARKS) + r")\b")
_OWN_PATHS = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/\w|\.\./" + "shared")
_CODE_SUFFIXES = {".cc", ".h", ".py", ".sh", ".cmake"}


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def text_of(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None  # Binary: a fuzzer's seed.


def is_code(path, text):
    return (path.suffix in _CODE_SUFFIXES or path.name == "CMakeLists.txt" or
            (path.suffix == "" and text.startswith("#!")))


def is_test(path):
    inside = path.relative_to(ROOT)
    return (inside.parts[0] in ("tests", "bench") or
            path.stem.endswith(("_test", "_fuzz", "_bench")))


def size_faults(path, text):
    limit = TEST_LINES if is_test(path) else PRODUCT_LINES
    count = text.count("\n")
    return [f"{count} lines; at most {limit}"] if count > limit else []


def width_faults(text):
    return [f"line {number} has {len(line)} columns; at most {COLUMNS}"
            for number, line in enumerate(text.splitlines(), 1) if len(line) > COLUMNS]


def licence_faults(text):
    first = text.splitlines()[:3]
    return [] if any(_SPDX in line for line in first) else [f"does not begin with '{_SPDX}'"]


def word_faults(text):
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        faults += [f"line {number} admits to being unfinished: {word}"
                   for word in _UNFINISHED.findall(line)]
        if _OWN_PATHS.search(line):
            faults.append(f"line {number} names a path of one machine")
    return faults


def header_faults(path, text):
    """A header says first what it is: '// room/file.h: one sentence', then `#pragma once`."""
    name = path.relative_to(ROOT / "src").as_posix()
    head, _, _ = text.partition("#pragma once")
    faults = [] if "#pragma once" in text else ["has no #pragma once"]
    if not re.search(rf"^// {re.escape(name)}: \S", head, re.M):
        faults.append(f"does not open with the contract comment '// {name}: ...'")
    return faults


def python_function_faults(text):
    return [f"line {node.lineno}: {node.name} has {node.end_lineno - node.lineno + 1} lines; "
            f"at most {FUNCTION_LINES}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.end_lineno - node.lineno + 1 > FUNCTION_LINES]


def cxx_function_faults(text):
    return [f"line {each.first_line}: {each.name} has {each.line_count} lines; "
            f"at most {FUNCTION_LINES}"
            for each in cxx_functions.functions(text) if each.line_count > FUNCTION_LINES]


def faults_of(path):
    text = text_of(path)
    if text is None:
        return []
    faults = word_faults(text) if path.name not in ("LICENSE",) else []
    if is_code(path, text):
        faults += size_faults(path, text) + width_faults(text) + licence_faults(text)
    if path.suffix in (".cc", ".h"):
        faults += cxx_function_faults(text)
    if path.suffix == ".h" and ROOT / "src" in path.parents:
        faults += header_faults(path, text)
    if path.suffix == ".py" or text.startswith("#!/usr/bin/env python3"):
        faults += python_function_faults(text)
    return [f"{path.relative_to(ROOT)}: {fault}" for fault in faults]


class TreeTest(unittest.TestCase):
    def test_every_file_keeps_the_rules(self):
        faults = [fault for path in tracked_files() for fault in faults_of(path)]
        if faults:
            self.fail(f"{len(faults)} faults\n" + "\n".join(faults))


class RuleTest(unittest.TestCase):
    """Each rule finds what breaks it and lets pass what keeps it."""

    def test_width(self):
        self.assertEqual([], width_faults("x" * COLUMNS))
        self.assertEqual(1, len(width_faults("x" * (COLUMNS + 1))))

    def test_size(self):
        product, test = ROOT / "src/base/a.cc", ROOT / "src/base/a_test.cc"
        self.assertEqual([], size_faults(product, "\n" * PRODUCT_LINES))
        self.assertEqual(1, len(size_faults(product, "\n" * (PRODUCT_LINES + 1))))
        self.assertEqual([], size_faults(test, "\n" * TEST_LINES))
        self.assertEqual(1, len(size_faults(test, "\n" * (TEST_LINES + 1))))

    def test_licence(self):
        self.assertEqual([], licence_faults(f"#!/bin/sh\n# {_SPDX}\n"))
        self.assertEqual(1, len(licence_faults("#!/bin/sh\n")))

    def test_words(self):
        self.assertEqual(1, len(word_faults("// TO" + "DO: later")))
        self.assertEqual(1, len(word_faults("/ho" + "me/someone/uzram")))
        self.assertEqual([], word_faults("/run/uzram and a todo list of /homework"))

    def test_header(self):
        path = ROOT / "src/base/a.h"
        self.assertEqual([], header_faults(path, "// base/a.h: does a.\n#pragma once\n"))
        self.assertEqual(1, len(header_faults(path, "// does a.\n#pragma once\n")))
        self.assertEqual(1, len(header_faults(path, "// base/a.h: does a.\n")))

    def test_python_function(self):
        body = "    pass\n"
        self.assertEqual([], python_function_faults("def f():\n" + body * 69))
        self.assertEqual(1, len(python_function_faults("def f():\n" + body * 70)))


class CxxFunctionTest(unittest.TestCase):
    """The function finder, which has no compiler to lean on."""

    def lengths(self, text):
        return {each.name: each.line_count for each in cxx_functions.functions(text)}

    def test_free_function(self):
        text = "namespace a {\nint f(int x) {\n  return x;\n}\n}  // namespace a\n"
        self.assertEqual({"f": 3}, self.lengths(text))

    def test_member_and_constructor_with_initialisers(self):
        text = ("class A {\n public:\n  A() : x_{1}, y_(2) {\n  }\n  int g() const { return 1; }\n"
                "};\nint A::h()\n    const {\n  if (x_) {\n  }\n  return 0;\n}\n")
        self.assertEqual({"A": 2, "g": 1, "A::h": 6}, self.lengths(text))

    def test_braces_in_text_do_not_count(self):
        text = 'int f() {\n  auto s = "}{";  // }\n  char c = \'}\';\n  auto r = R"x(})x";\n}\n'
        self.assertEqual({"f": 5}, self.lengths(text))

    def test_digit_separators_are_not_characters(self):
        self.assertEqual({"f": 3}, self.lengths("int f() {\n  return 1'000'000;\n}\n"))

    def test_lambdas_belong_to_their_function(self):
        text = "void f() {\n  auto g = [](int x) {\n    return x;\n  };\n}\n"
        self.assertEqual({"f": 5}, self.lengths(text))

    def test_a_table_is_not_a_function(self):
        text = "constexpr Row kRows[] = {\n  {1, f(2)},\n  {3, f(4)},\n};\nint g() { return 1; }\n"
        self.assertEqual({"g": 1}, self.lengths(text))

    def test_long_function_is_found(self):
        text = "int f() {\n" + "  g();\n" * 70 + "}\n"
        self.assertEqual(1, len(cxx_function_faults(text)))
        text = "int f() {\n" + "  g();\n" * 68 + "}\n"
        self.assertEqual([], cxx_function_faults(text))


if __name__ == "__main__":
    unittest.main()
