"""What the data doctor found, and how it is told."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Kind = Literal[
    "damaged",
    "silent",
    "clipped",
    "offset",
    "upsampled",
    "wrong rate",
    "duplicate",
    "misaligned",
    "unlike",
    "level",
    "dead channel",
    "opposite channels",
    "swapped channels",
    "unequal channels",
]

ADVICE: dict[str, str] = {
    "damaged": "fetch or export it again, or remove it",
    "silent": "remove it, or cut the silence off",
    "clipped": "use an unclipped original, or remove it: softer does not bring back what was cut off",
    "offset": "take the offset away with a high-pass filter at 20 Hz",
    "upsampled": "find the original at its own rate, or train at that rate: its top is empty",
    "wrong rate": "compare it with its original; if only the header is wrong, write it anew with the right rate",
    "duplicate": "keep one of them: it counts as often as it is there, and may lie on both sides of a split",
    "misaligned": "move the source by so many samples, or make the pair again",
    "unlike": "remove it, or make the pair again: its sides are not of one recording",
    "level": "bring both sides to one level, or make the pair again",
    "dead channel": "keep the other channel alone, as a mono file",
    "opposite channels": "turn one channel's sign round: mixed to one they cancel each other",
    "swapped channels": "swap the channels of one side",
    "unequal channels": "make the pair again: both sides need as many channels",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one file.

    Attributes:
        kind: what it is.
        file: which, relative to the folder.
        where: in it, in words.
        figure: what was measured, in words with units.
        value: the same as one number; the figure says of what.
        advice: what to do.
        others: of a duplicate, the other files that are the same.
    """

    kind: Kind
    file: str
    where: str
    figure: str
    value: float
    advice: str = ""
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.advice:
            object.__setattr__(self, "advice", ADVICE[self.kind])

    def line(self) -> str:
        """Give it as one line."""
        return f"{self.file}: {self.kind}, {self.where}: {self.figure}; {self.advice}"


@dataclass(frozen=True)
class Diagnosis:
    """What came of a folder.

    Attributes:
        folder: its name.
        what: "recordings" or "pairs".
        items: how many of them there are. seconds: of sound heard, of all files.
        findings: in the order of the files.
    """

    folder: str
    what: Literal["recordings", "pairs"]
    items: int
    seconds: float
    findings: list[Finding]

    def counts(self) -> dict[str, int]:
        """Give how many findings there are of each kind, in the order of Kind; kinds without any are left out."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in get_args(Kind) if found[kind]}

    def faulty(self) -> int:
        """Give how many files have a finding; of those that are the same one is as it should be."""
        alone = {finding.file for finding in self.findings if not finding.others}
        return len(alone.union(*(finding.others for finding in self.findings)))

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain values, for JSON."""
        return {
            "folder": self.folder,
            "what": self.what,
            "items": self.items,
            "seconds": round(self.seconds, 3),
            "faulty_files": self.faulty(),
            "counts": self.counts(),
            "findings": [asdict(finding) for finding in self.findings],
        }
