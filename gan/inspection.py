"""What `unshift inspect` says of a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generators import store
from generators.measure import Measures, measure


@dataclass(frozen=True)
class Inspection:
    """A model in numbers.

    Attributes:
        folder: the generator's folder that was found.
        class_path: of the network.
        init_args: what the network was built with.
        measures: its size, reach and cost.
        bytes: of the weights on disk.
    """

    folder: Path
    class_path: str
    init_args: dict[str, Any]
    measures: Measures
    bytes: int

    @property
    def receptive_field(self) -> int:
        """Input samples that an output sample can depend on."""
        return 2 * self.measures.reach + 1

    def table(self) -> str:
        """Give the model as aligned lines of text."""
        found = self.measures
        milliseconds = 1000 / found.sample_rate
        lines = [
            ("model", str(self.folder)),
            ("class", self.class_path),
            *((f"  {name}", str(value)) for name, value in self.init_args.items()),
            ("parameters", f"{found.parameters:,} ({self.bytes / 1e6:.1f} MB on disk)"),
            ("sample rate", f"{found.sample_rate} Hz"),
            ("receptive field", f"{self.receptive_field:,} samples ({self.receptive_field * milliseconds:.0f} ms)"),
            ("hop", f"{found.hop:,} samples ({found.hop * milliseconds:.1f} ms)"),
            ("MACs per second", f"{found.macs_per_second / 1e6:,.4g} million, for each channel"),
        ]
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)

    def as_dict(self) -> dict[str, Any]:
        """Give the model as plain values, for JSON."""
        return {
            "model": str(self.folder),
            "class_path": self.class_path,
            "init_args": self.init_args,
            "parameters": self.measures.parameters,
            "bytes": self.bytes,
            "sample_rate": self.measures.sample_rate,
            "receptive_field": self.receptive_field,
            "hop": self.measures.hop,
            "macs_per_second": self.measures.macs_per_second,
        }


def inspect(path: Path, *, trust: bool = False) -> Inspection:
    """Load a model and measure it.

    Args:
        path: a run, a checkpoint or a generator's folder.
        trust: see generators.store.load.

    Raises:
        ModelError: there is no model, it is damaged, or it does not map waveforms to waveforms.
    """
    folder = store.resolve(path)
    words = store.describe(folder)
    measures = measure(store.load(folder, trust=trust))
    size = (folder / store.WEIGHTS).stat().st_size
    return Inspection(folder, words["class_path"], words.get("init_args") or {}, measures, size)
