"""What the data doctor says of a folder."""

from pathlib import Path

from gan.pairs.inspecting.findings import Diagnosis

CLIPS = Path(__file__).parents[1] / "demo/clips"


def told(found: Diagnosis) -> set[tuple[str, str]]:
    return {(finding.file, finding.kind) for finding in found.findings}


def value(found: Diagnosis, kind: str) -> float:
    (one,) = (finding for finding in found.findings if finding.kind == kind)
    return one.value
