"""Seeded damage: bytes, texts and values as nobody should write them, and what may come of it."""

import json
import os
import re
import resource
import shutil
import signal
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

TIMES = float(os.environ.get("UNSHIFT_DAMAGE", "1"))
"""The sweeps are so many times as long."""
Rng = np.random.Generator


def cases(count: int) -> range:
    """Give the numbers of a sweep's cases."""
    return range(round(count * TIMES))


def flip(content: bytes, rng: Rng) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        # Headers say more than samples: half of the flips are there.
        place = int(rng.integers(min(len(damaged), 200) if rng.random() < 0.5 else len(damaged)))
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def cut(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(len(content)))]


def zero(content: bytes, rng: Rng) -> bytes:
    start, length = int(rng.integers(len(content))), int(rng.integers(1, 2000))
    return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]


def insert(content: bytes, rng: Rng) -> bytes:
    place = int(rng.integers(len(content)))
    return content[:place] + rng.bytes(int(rng.integers(1, 500))) + content[place:]


def drop(content: bytes, rng: Rng) -> bytes:
    place = int(rng.integers(len(content)))
    return content[:place] + content[place + int(rng.integers(1, 500)) :]


def enlarge(content: bytes, rng: Rng) -> bytes:
    """Write a number where headers have theirs."""
    number = int(rng.choice([0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]))
    place = int(rng.integers(min(len(content), 100)))
    form = str(rng.choice(["<I", ">I", "<H", ">H"]))
    word = struct.pack(form, number & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))
    return content[:place] + word + content[place + len(word) :]


def double(content: bytes, rng: Rng) -> bytes:
    return content + content


def empty(content: bytes, rng: Rng) -> bytes:
    return b""


def noise(content: bytes, rng: Rng) -> bytes:
    return rng.bytes(int(rng.integers(1, 5000)))


def behead(content: bytes, rng: Rng) -> bytes:
    """Leave the first bytes, by which a file is known, and noise."""
    return content[: int(rng.integers(4, 64))] + rng.bytes(int(rng.integers(1, 5000)))


BYTES: list[Callable[[bytes, Rng], bytes]] = [flip, flip, cut, cut, zero, insert, drop, enlarge, enlarge, double]
BYTES += [empty, noise, behead]

VALUES: list[Any] = [0, -1, 1, 3, 2**31, 2**63, 10**30, 10**400, 0.5, 1e308, float("nan"), float("inf"), True, None]
VALUES += ["", "x", "../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", "x" * 5000, [], [0], ["a"] * 9, [[[]]], {}]
VALUES += [{"a": 1}, {"class_path": "os.system", "init_args": {"command": "true"}}, {"class_path": "torch.nn.Linear"}]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Give the paths to all that stands within a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [more for key, one in inside for more in [(*path, key), *places(one, (*path, key))]]


def reworded(value: Any, rng: Rng) -> Any:
    """Copy plain values with one or two of them changed, removed, added or renamed."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.integers(1, 3)):
        found = places(value)
        if not found:
            break
        *way, last = found[rng.integers(len(found))]
        room = value
        for key in way:
            room = room[key]
        match rng.integers(6):
            case 0:
                del room[last]
            case 1 if isinstance(room, dict):
                room[f"{last}x"] = room.pop(last)
            case 2 if isinstance(room, dict):
                room["unheard_of"] = VALUES[rng.integers(len(VALUES))]
            case _:
                room[last] = VALUES[rng.integers(len(VALUES))]
    return value


def misspelt(text: str, rng: Rng) -> bytes:
    """Damage a text of lines as editors, networks and disks do."""
    lines = text.splitlines(keepends=True)
    place = int(rng.integers(len(lines)))
    line = lines[place]
    ways = [
        lambda: "\t" + line,
        lambda: "  " + line,
        lambda: line.replace(":", "", 1),
        lambda: line + line,
        lambda: "",
        lambda: line.rstrip("\n") + " \0\n",
        lambda: re.sub(r"\d+", "9" * 400, line, count=1),
        lambda: re.sub(r": .*", ": &a [*a]", line, count=1),
        lambda: re.sub(r": .*", ": *nowhere", line, count=1),
        lambda: re.sub(r": .*", ": !!python/object/apply:os.system [true]", line, count=1),
        lambda: re.sub(r": .*", ": {", line, count=1),
        lambda: re.sub(r": .*", ": 1e999", line, count=1),
        lambda: re.sub(r": .*", ": 2026-11-31", line, count=1),
        lambda: "---\n" + line,
        lambda: "[" * 5000 + "\n",
        lambda: "\ufeff\u2028" + line,
    ]
    lines[place] = ways[rng.integers(len(ways))]()
    content = "".join(lines).encode()
    return content if rng.random() < 0.8 else BYTES[rng.integers(len(BYTES))](content or b"x", rng)


def put(path: Path, content: bytes, rng: Rng) -> str:
    """Write a damaged file, or now and then something that is no file; give what it is."""
    odd = rng.random()
    if odd < 0.02:
        path.mkdir()
        return "folder"
    if odd < 0.04:
        path.symlink_to(path.name)
        return "loop"
    if odd < 0.06:
        os.mkfifo(path)
        return "pipe"
    path.write_bytes(content)
    return "file"


def clear(path: Path) -> None:
    """Remove a file or whatever is in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Give all that stands below a folder: what files hold, and what else is what."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        else:
            found[name] = path.read_bytes() if path.is_file() else "folder" if path.is_dir() else "no file"
    return found


def alarm(seconds: float) -> None:
    """Interrupt what runs, as Ctrl-C does, after so many seconds; 0 for never."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)


@contextmanager
def little_memory(more: int = 3 * 2**30) -> Iterator[None]:
    """Let the process ask for so many bytes more and no further: what would fill a machine fails here."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def one_line(said: str) -> str:
    """Give what is wrong with what a command said when it refused; empty where nothing is."""
    if not said.startswith("unshift: ") or said.count("\n") != 1 or not said.endswith("\n"):
        return f"not one line: {said[:500]!r}"
    if len(said) > 1500 or not said[:-1].isprintable() or "Traceback" in said:
        return f"not a plain line: {said[:1500]!r}"
    return ""


class Tally:
    """What became of a sweep's cases; faults are told together."""

    def __init__(self) -> None:
        self.became: Counter[str] = Counter()
        self.faults: list[str] = []

    def add(self, case: str, result: str, fault: str = "") -> None:
        self.became[result] += 1
        if fault:
            self.faults.append(f"{case}: {fault}")

    def check(self, count: int, *results: str) -> None:
        """Fail where a case was not run or had a fault, and where they did not end in all of these ways."""
        assert not self.faults, "\n".join([f"{len(self.faults)} faults", *self.faults[:20]])
        assert self.became.total() == count, self.became
        assert set(self.became) == set(results), self.became
