# SPDX-License-Identifier: Apache-2.0
"""Holds every #include and every CMake link dependency against src/LAYERS."""
import pathlib
import re
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
_ROOM_CALL = re.compile(r"uzram_room\(\s*(\S+)([^)]*)\)")
_KEYWORDS = {"SOURCES", "ROOMS", "LIBRARIES", "TESTS", "FUZZERS"}


def read_layers(root):
    """{room: rooms it may include}, in the order of the file, bottom to top."""
    rooms = {}
    for line in (root / "src" / "LAYERS").read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line:
            room, _, below = line.partition(":")
            rooms[room.strip()] = below.split()
    return rooms


def room_of(path, rooms):
    """The room that a path below src/ lies in; None when it lies in none."""
    parts = path.parts[:-1]
    for count in range(len(parts), 0, -1):
        if "/".join(parts[:count]) in rooms:
            return "/".join(parts[:count])
    return None


def cmake_rooms(text):
    """[(room, its ROOMS)] of the uzram_room calls in a CMakeLists.txt."""
    found = []
    for name, rest in _ROOM_CALL.findall(re.sub(r"#[^\n]*", "", text)):
        keyword, linked = None, []
        for word in rest.split():
            if word in _KEYWORDS:
                keyword = word
            elif keyword == "ROOMS":
                linked.append(word)
        found.append((name, linked))
    return found


def order_faults(rooms):
    """The list itself: from bottom to top, and no front end above another."""
    faults, below = [], set()
    for room, allowed in rooms.items():
        for other in allowed:
            if other not in below:
                faults.append(f"src/LAYERS: {room} may include {other}, which is not below it")
            if room.startswith("frontend/") and other.startswith("frontend/"):
                faults.append(f"src/LAYERS: the front ends {room} and {other} are siblings")
        below.add(room)
    return faults


def include_faults(root, rooms):
    faults = []
    source = root / "src"
    for path in sorted([*source.rglob("*.h"), *source.rglob("*.cc")]):
        inside = path.relative_to(source)
        room = room_of(inside, rooms)
        if room is None:
            faults.append(f"src/{inside}: in no room of src/LAYERS")
            continue
        for included in _INCLUDE.findall(path.read_text(encoding="utf-8")):
            other = room_of(pathlib.PurePath(included), rooms)
            if other is None:
                faults.append(f'src/{inside}: "{included}" names no room; write room/file.h')
            elif other != room and other not in rooms[room]:
                faults.append(f'src/{inside}: {room} may not include "{included}"')
    return faults


def included_rooms(root, room, rooms):
    """The other rooms that a room's product files include."""
    used = set()
    for path in (root / "src" / room).glob("*.[hc]*"):
        if path.suffix in (".h", ".cc") and not path.stem.endswith(("_test", "_fuzz", "_bench")):
            for included in _INCLUDE.findall(path.read_text(encoding="utf-8")):
                used.add(room_of(pathlib.PurePath(included), rooms))
    return used - {room, None}


def link_faults(root, rooms):
    """CMake links what LAYERS allows, and at least what is included."""
    faults, seen = [], set()
    for path in sorted((root / "src").rglob("CMakeLists.txt")):
        folder = str(path.parent.relative_to(root / "src"))
        for name, linked in cmake_rooms(path.read_text(encoding="utf-8")):
            seen.add(name)
            where = f"src/{folder}/CMakeLists.txt"
            if name != folder or name not in rooms:
                faults.append(f"{where}: room '{name}' is not '{folder}' of src/LAYERS")
                continue
            faults += [f"{where}: links {other}, which src/LAYERS does not allow"
                       for other in linked if other not in rooms[name]]
            reached = reachable(linked, rooms)
            faults += [f"{where}: includes {other} without linking it"
                       for other in sorted(included_rooms(root, name, rooms) - reached)]
    built = {room for room in rooms if any((root / "src" / room).glob("*.cc"))}
    faults += [f"src/{room}: has sources but no uzram_room call" for room in sorted(built - seen)]
    return faults


def reachable(linked, rooms):
    """Link dependencies are public: what a linked room may include comes with it."""
    found = set()
    todo = list(linked)
    while todo:
        room = todo.pop()
        if room not in found:
            found.add(room)
            todo += rooms.get(room, [])
    return found


def all_faults(root):
    rooms = read_layers(root)
    return order_faults(rooms) + include_faults(root, rooms) + link_faults(root, rooms)


class TreeTest(unittest.TestCase):
    def test_every_include_and_link_is_allowed(self):
        self.assertEqual([], all_faults(ROOT))

    def test_every_room_has_a_folder(self):
        missing = [room for room in read_layers(ROOT) if not (ROOT / "src" / room).is_dir()]
        self.assertEqual([], missing)


class PlantedFaultTest(unittest.TestCase):
    """The checks find what is planted in a small tree of their own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.put("LAYERS", "base:\nstore: base\nfrontend/a: base\nfrontend/b: base\n")
        for room in ("base", "store", "frontend/a", "frontend/b"):
            linked = "" if room == "base" else " ROOMS base"
            self.put(f"{room}/CMakeLists.txt", f"uzram_room({room} SOURCES x.cc{linked})\n")
            self.put(f"{room}/x.cc", f'#include "base/x.h"\n#include "{room}/x.h"\n')

    def put(self, name, text):
        path = self.root / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def assert_one_fault(self, words):
        faults = all_faults(self.root)
        self.assertEqual(1, len(faults), faults)
        self.assertIn(words, faults[0])

    def test_sound_tree_has_none(self):
        self.assertEqual([], all_faults(self.root))

    def test_upward_include(self):
        self.put("base/y.cc", '#include "store/x.h"\n')
        self.put("base/CMakeLists.txt", "uzram_room(base SOURCES x.cc)\n")
        faults = all_faults(self.root)
        self.assertIn('src/base/y.cc: base may not include "store/x.h"', faults)

    def test_sibling_front_end(self):
        self.put("frontend/a/z_test.cc", '#include "frontend/b/x.h"\n')
        self.assert_one_fault('frontend/a may not include "frontend/b/x.h"')

    def test_include_without_room(self):
        self.put("store/y.cc", '#include "x.h"\n')
        self.assert_one_fault("names no room")

    def test_link_that_layers_forbid(self):
        self.put("base/CMakeLists.txt", "uzram_room(base SOURCES x.cc ROOMS store)\n")
        self.assert_one_fault("links store")

    def test_include_without_link(self):
        self.put("store/CMakeLists.txt", "uzram_room(store SOURCES x.cc)\n")
        self.assert_one_fault("includes base without linking it")

    def test_folder_that_is_no_room(self):
        self.put("misc/y.cc", "")
        self.assert_one_fault("in no room")

    def test_order_of_the_list(self):
        self.put("LAYERS", "store: base\nbase:\nfrontend/a: base\nfrontend/b: base frontend/a\n")
        faults = all_faults(self.root)
        self.assertIn("src/LAYERS: store may include base, which is not below it", faults)
        self.assertIn("src/LAYERS: the front ends frontend/b and frontend/a are siblings", faults)


if __name__ == "__main__":
    unittest.main()
