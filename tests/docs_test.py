# SPDX-License-Identifier: Apache-2.0
"""The documents and the program agree, both ways."""
import errno
import functools
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from uzram_daemon import ROOT, uzram_program  # noqa: E402

RUNS_BESIDE_OTHERS = True

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


@functools.lru_cache
def sources():
    """{path below src/: text} of the product files."""
    source = ROOT / "src"
    return {str(path.relative_to(source)): path.read_text(encoding="utf-8")
            for path in [*source.rglob("*.h"), *source.rglob("*.cc")]
            if not path.stem.endswith("_test")}


@functools.lru_cache
def test_names():
    """Every "Suite.Case" of the C++ tests."""
    names = set()
    for path in (ROOT / "src").rglob("*_test.cc"):
        found = re.findall(r"^TEST\w*\(\s*(\w+),\s*(\w+)\)", path.read_text(encoding="utf-8"), re.M)
        names.update(f"{suite}.{case}" for suite, case in found)
    return names


def sections(document, level="##"):
    """{heading: body} of a document's headings of one level."""
    parts = re.split(rf"^{level} (.+)$", document, flags=re.M)
    return {heading.strip(): body for heading, body in zip(parts[1::2], parts[2::2])}


def code_words(document):
    return re.findall(r"`([^`\n]+)`", document)


def help_text(*words):
    return subprocess.run([uzram_program(), *words, "--help"], capture_output=True, text=True,
                          check=True).stdout


class LinkTest(unittest.TestCase):
    def test_every_link_leads_to_a_file_of_ours(self):
        for document in DOCUMENTS:
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text("utf-8")):
                if not re.match(r"https?:", target):
                    self.assertTrue((document.parent / target).exists(),
                                    f"{document.name}: {target}")

    def test_every_path_in_a_document_exists(self):
        for document in DOCUMENTS:
            if document.name == "STYLE.md":  # Its examples are of no real file.
                continue
            for word in code_words(document.read_text("utf-8")):
                if re.fullmatch(r"(src|tests|docs|bench|cmake|fuzz)/[\w./-]*[\w/-]", word):
                    is_made = word.startswith("bench/results")
                    self.assertTrue(is_made or (ROOT / word).exists(), f"{document.name}: {word}")
                elif re.fullmatch(r"[a-z]+(/[a-z_]+)+\.h", word):
                    self.assertIn(word, sources(), document.name)


class TestNameTest(unittest.TestCase):
    def check(self, name, at_least):
        named = [word for word in code_words(text(name))
                 if re.fullmatch(r"[A-Z]\w+\.[A-Z]\w+", word)]
        self.assertGreater(len(named), at_least)
        missing = [word for word in named if word not in test_names()]
        self.assertEqual([], missing, f"{name} names tests that do not exist")

    def test_those_of_the_laws_exist(self):
        self.check("INVARIANTS.md", 15)

    def test_those_of_the_errors_exist(self):
        self.check("docs/errors.md", 15)

    def test_every_law_has_a_check_and_an_attack(self):
        laws = {heading: body for heading, body in sections(text("INVARIANTS.md")).items()
                if heading[0].isdigit()}
        self.assertEqual([f"{n}." for n in range(1, 11)], [law.split()[0] for law in laws])
        for heading, body in laws.items():
            self.assertRegex(body, r"- Enforced by: ", heading)
            self.assertRegex(body, r"- Attacked by: ", heading)

    def test_every_law_that_a_header_names_exists(self):
        for name, source in sources().items():
            for numbers in re.findall(r"^// Laws: +([^\n]*)", source, re.M):
                for number in map(int, re.findall(r"\d+", numbers)):
                    self.assertIn(number, range(1, 10), name)


class FunctionNameTest(unittest.TestCase):
    def test_functions_that_documents_name_exist(self):
        whole = "\n".join(sources().values())
        for document in ("ARCHITECTURE.md", "INVARIANTS.md"):
            named = [word for word in code_words(text(document)) if "::" in word]
            self.assertGreater(len(named), 10)
            for word in named:
                owner, member = word.split("::")
                place = f"{document}: {word}"
                self.assertRegex(whole, rf"\b(class|struct)\b[^;{{]*\b{owner}\b", place)
                inside = rf"\b{owner}::{member}\b|\b{member}(_bytes)?\s*(\(|UZ_|;|\[|\{{)"
                self.assertRegex(whole, inside, place)

    def test_every_room_is_in_the_architecture(self):
        rooms = re.findall(r"^([a-z/]+):", text("src/LAYERS"), re.M)
        for room in rooms:
            self.assertIn(f"| `{room}` |", text("ARCHITECTURE.md"))


class AttributeTest(unittest.TestCase):
    def test_the_manual_has_every_attribute_and_its_mode(self):
        manual = sections(text("docs/attributes.md"), "###")
        listed = subprocess.run([uzram_program(), "get", "--list"], capture_output=True, text=True,
                                check=True).stdout
        modes = dict(line.split()[:2] for line in listed.splitlines())
        table = sources()["control/attribute_table.cc"]
        of_class = set(re.findall(r'ClassAttribute\{"(\w+)"', table))
        self.assertEqual(set(modes) | of_class, set(manual))
        for name, mode in modes.items():
            self.assertIn(f"Mode {mode}", manual[name], name)

    def test_the_columns_of_mm_stat_are_those_of_the_table(self):
        manual = sections(text("docs/attributes.md"), "###")["mm_stat"]
        columns = re.findall(r"^\| (\w+) \|", manual, re.M)[1:]
        listed = subprocess.run([uzram_program(), "get", "--list"], capture_output=True, text=True,
                                check=True).stdout
        [line] = [line for line in listed.splitlines() if line.startswith("mm_stat")]
        self.assertEqual(line.split()[2:], columns)

    def test_errors_are_errno_names(self):
        for name in ("docs/attributes.md", "docs/errors.md"):
            for word in set(re.findall(r"\bE[A-Z0-9]{3,}\b", text(name))):
                self.assertTrue(hasattr(errno, word), f"{name}: {word}")


class CommandTest(unittest.TestCase):
    def commands(self):
        """The commands that have no commands below them: "create", ..., "swap on", "swap off"."""
        found = []
        for name in self.names_in(help_text()):
            below = self.names_in(help_text(name))
            found += [f"{name} {each}" for each in below] or [name]
        return found

    @staticmethod
    def names_in(shown):
        _, _, listed = shown.partition("Subcommands:\n")
        return re.findall(r"^  (\w+)", listed.split("\n\n")[0], re.M)

    def test_the_manual_has_every_command_and_option(self):
        manual = sections(text("docs/uzram.md"))
        self.assertEqual(self.commands(), list(manual))
        for command, body in manual.items():
            shown = help_text(*command.split())
            takes = set(re.findall(r"^  (?:-\w,)?(--[a-z-]+)", shown, re.M)) - {"--help"}
            told = set(re.findall(r"`(--[a-z-]+)[^`]*`", body))
            self.assertEqual(takes, told, command)


class PolicyTest(unittest.TestCase):
    def test_the_manual_has_every_setting_with_its_default(self):
        words = re.findall(r'PolicyWord\{\s*"(\w+)",\s*"([^"]+)",\s*"([^"]+)"',
                           sources()["policy/policy_words.cc"])
        self.assertGreater(len(words), 20)
        rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \| (.+) \|$",
                          text("docs/policy.md"), re.M)
        self.assertEqual(words, [(key, value.replace("\\|", "|"), summary)
                                 for key, value, _, summary in rows])
        golden = "".join(re.findall(r'"([^"\n]*)"', re.search(
            r"HaveTheseDefaults\)(.+?)\);", (ROOT / "src/policy/policy_settings_test.cc")
            .read_text(encoding="utf-8"), re.S).group(1)))
        self.assertEqual([f"{key}={default}" for key, _, default, _ in rows],
                         re.findall(r"\w+=\S+", golden))


class PackageTest(unittest.TestCase):
    def test_dev_and_the_list_of_dependencies_agree(self):
        script = text("dev")
        manual = sections(text("docs/dependencies.md"))
        for array, heading in (("build_packages", "To build and run"),
                               ("test_packages", "To test"),
                               ("unpacked_packages", "To test, unpacked only")):
            [listed] = re.findall(rf"{array}=\(([^)]*)\)", script)
            rows = re.findall(r"^\| ([\w+.-]+) \|", manual[heading], re.M)
            self.assertEqual(set(listed.split()), set(rows) - {"package"}, heading)

    def test_every_library_that_cmake_looks_for_is_listed(self):
        listed = text("docs/dependencies.md")
        packages = {"liblz4": "liblz4-dev", "libzstd": "libzstd-dev", "lzo2": "liblzo2-dev",
                    "libdeflate": "libdeflate-dev", "zlib": "zlib1g-dev", "libxxhash":
                    "libxxhash-dev", "fuse3": "libfuse3-dev", "liburing": "liburing-dev",
                    "nbdkit": "nbdkit-plugin-dev", "libnbd": "libnbd-dev", "fmt": "libfmt-dev",
                    "GTest": "libgtest-dev", "benchmark": "libbenchmark-dev", "CLI11":
                    "libcli11-dev", "nlohmann_json": "nlohmann-json3-dev", "spdlog":
                    "libspdlog-dev", "libcrypto": "libssl-dev"}
        for path in [*ROOT.glob("cmake/*.cmake"), *ROOT.glob("*/**/CMakeLists.txt")]:
            if "build" in path.relative_to(ROOT).parts:
                continue
            build = path.read_text(encoding="utf-8")
            wanted = re.findall(r"find_package\((\w+)", build)
            wanted += re.findall(r"pkg_check_modules\(\w+ REQUIRED (?:IMPORTED_TARGET )?([\w.-]+)",
                                 build)
            for library in set(wanted) - {"PkgConfig", "Threads"}:
                self.assertIn(packages.get(library, library), listed, f"{path.name}: {library}")


class EntranceTest(unittest.TestCase):
    def test_the_readme_names_every_command_of_dev(self):
        listed = subprocess.run([ROOT / "dev"], capture_output=True, text=True, check=True).stdout
        for command in re.findall(r"^  (\w+)", listed, re.M):
            self.assertRegex(text("README.md"), rf"\./dev {command}\b|`{command}`")


if __name__ == "__main__":
    unittest.main()
