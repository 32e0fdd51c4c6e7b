"""What an encoded file and a codec have to know of each other: which codec wrote, and which ones can read."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan.coding.entropy import Priors
from gan.coding.header import CodecFacts, Header
from generators import store
from generators.contract import Coder, ModelError


@dataclass(frozen=True, slots=True)
class KnownCodec:
    """A coder, and what an encoded file says of it.

    Attributes:
        coder: in eval mode, on the device that it is to run on.
        facts: what is written into a file, and what a file has to say to be decoded.
        priors: for range coding; None packs only.
    """

    coder: Coder
    facts: CodecFacts
    priors: Priors | None

    @property
    def device(self) -> torch.device:
        """Where the coder runs."""
        tensor = next(self.coder.parameters(), None) if isinstance(self.coder, nn.Module) else None
        return torch.device("cpu") if tensor is None else tensor.device


def know(coder: Coder, words: Mapping[str, Any]) -> KnownCodec:
    """Put together what is to be known of a coder, as it is in memory.

    Args:
        coder: a network. Where it has a `usage` with `shares` of its codebooks' entries (see generators.usage.Usage),
            these are what range coding expects. Where it has a `writing_state` and `writing_parts` (see
            generators.codec.Codec), files are read by every codec with the same; else by the same network only.
        words: its description, see generators.store; defaults and what only says how it learns make no difference.

    Raises:
        ModelError: its shares are none.
    """
    state: Callable[[], Mapping[str, Tensor]] = getattr(coder, "state_dict", dict)
    said = store.essence(words)
    parts = getattr(coder, "writing_parts", tuple(said["init_args"]))
    writes = {name: part for name, part in said["init_args"].items() if name in parts}
    facts = CodecFacts(
        class_path=str(words["class_path"]),
        codes_sha256=fingerprint(getattr(coder, "writing_state", state)(), writes),
        model_sha256=fingerprint(state(), said),
        sample_rate=coder.sample_rate,
        channels=coder.channels,
        frame=coder.frame,
        hop=coder.hop,
        codebooks=tuple(int(entries) for entries in coder.codebooks),
        width=coder.width,
    )
    shares = [share.detach().double().cpu().numpy() for share in getattr(getattr(coder, "usage", None), "shares", [])]
    if not shares or tuple(map(len, shares)) != facts.codebooks:
        return KnownCodec(coder, facts, None)
    try:
        return KnownCodec(coder, facts, Priors(shares))
    except ValueError as error:
        raise ModelError(f"the codec's usage is damaged: {error}") from error


def fingerprint(state: Mapping[str, Any], words: Mapping[str, Any]) -> str:
    """Give the SHA-256 of plain values and of tensors (names, types, shapes, bytes), in hexadecimal."""
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode() + b"\n")
    for name in sorted(state):
        tensor: Tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def compare(header: Header, facts: CodecFacts, path: Path) -> list[str]:
    """Say how the codec at hand differs from the one that wrote a file.

    Args:
        header: of the file.
        facts: of the codec at hand.
        path: of the file, for messages.

    Returns:
        Remarks for the user: the decoder is another one than the writer's.

    Raises:
        ModelError: the codec cannot read the file's codes.
    """
    theirs, ours = header.codec, facts
    if theirs.codes != ours.codes:
        raise ModelError(
            f"{path}: was encoded by another codec ({theirs.class_path}, codes {theirs.codes_sha256[:12]}...) than "
            f"this model ({ours.class_path}, {ours.codes_sha256[:12]}...): name that one with --model"
        )
    if theirs.model_sha256 != ours.model_sha256:
        return ["another decoder than the writer's, for the same codes: it may sound different"]
    return []
