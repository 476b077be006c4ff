# SPDX-License-Identifier: Apache-2.0
"""bench/make_corpus saves what it says, once, and leaves no program behind."""
import json
import pathlib
import subprocess
import tempfile
import unittest

RUNS_BESIDE_OTHERS = True

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE_BYTES = 4096


def make_corpus(*arguments):
    return subprocess.run([ROOT / "bench" / "make_corpus", *map(str, arguments)],
                          capture_output=True, text=True, check=False)


class CorpusTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.made = make_corpus(cls.folder, "--mib", 8)

    def manifest(self):
        return json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))

    def test_parts_cover_the_file_without_gaps(self):
        self.assertEqual(0, self.made.returncode, self.made.stderr)
        page = 0
        for part in self.manifest()["parts"]:
            self.assertEqual(page, part["first_page"])
            self.assertGreater(part["pages"], 0, part)
            page += part["pages"]
        self.assertEqual((self.folder / "corpus.bin").stat().st_size, page * PAGE_BYTES)
        self.assertLessEqual(page, 8 * 256)
        self.assertGreater(page, 8 * 256 * 3 // 4)

    def test_pages_are_content_of_many_kinds(self):
        content = (self.folder / "corpus.bin").read_bytes()
        pages = [content[at:at + PAGE_BYTES] for at in range(0, len(content), PAGE_BYTES)]
        self.assertLess(pages.count(bytes(PAGE_BYTES)), len(pages) // 2)
        self.assertGreater(len(set(pages)), len(pages) // 2)

    def test_a_corpus_of_the_same_size_is_kept(self):
        before = (self.folder / "corpus.bin").stat().st_mtime_ns
        again = make_corpus(self.folder, "--mib", 8)
        self.assertEqual(0, again.returncode)
        self.assertIn("has a corpus of this size", again.stderr)
        self.assertEqual(before, (self.folder / "corpus.bin").stat().st_mtime_ns)

    def test_what_the_machine_lacks_is_named(self):
        said = self.made.stderr
        for skipped in self.manifest()["skipped"]:
            self.assertIn(f"skipped {skipped['label']}: {skipped['reason']}", said)

    def test_wrong_size_is_refused(self):
        refused = make_corpus(self.folder, "--mib", 0)
        self.assertEqual(2, refused.returncode)
        self.assertIn("--mib wants a number from 1 up", refused.stderr)


if __name__ == "__main__":
    unittest.main()
