"""Let torchaudio be imported where its compiled extension does not load.

torchaudio's Linux wheels are built for CUDA. Beside a CPU build of torch, or one for another CUDA, `import torchaudio`
fails on its compiled part, and with it `from transformers import WavLMModel`, which imports torchaudio. Nothing here
uses the compiled part (alignment, IIR filters), so where it fails to load, an empty one takes its place.
"""

import importlib
import sys
from types import ModuleType
from typing import NoReturn


def allow_torchaudio_without_extension() -> None:
    """Import torchaudio, without its compiled extension where that does not load.

    To be called before anything that imports torchaudio or transformers. Where torchaudio works nothing changes;
    a second call costs nothing.

    Raises:
        ImportError: torchaudio is not installed.
    """
    if "torchaudio" in sys.modules:
        return
    try:
        importlib.import_module("torchaudio")
    except (OSError, RuntimeError):  # a missing libc10_cuda.so; "compiled with different CUDA versions"
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _empty_extension()
        importlib.import_module("torchaudio")


def _empty_extension() -> ModuleType:
    extension = ModuleType("torchaudio._extension", "Stands in for a compiled extension that does not load.")
    parts = {
        "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
        "_IS_ALIGN_AVAILABLE": False,
        "_check_cuda_version": lambda: None,
        "fail_if_no_align": _needs_alignment,
        "__path__": [],
    }
    for name, part in parts.items():
        setattr(extension, name, part)
    return extension


def _needs_alignment(_: object) -> object:
    """Replace a function that needs the compiled extension by one that says so."""

    def refuse(*_arguments: object, **_named: object) -> NoReturn:
        raise RuntimeError("torchaudio's compiled extension did not load beside this build of torch")

    return refuse
