"""Models on the Hugging Face hub: fetched, saved and pushed as the folders that generators.store knows."""

import shutil
from hashlib import file_digest
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from safetensors import safe_open
from torch import nn

from generators import store
from generators.contract import ModelError
from generators.describing import one_line

CARD = "README.md"
FETCHED = (store.DESCRIPTION, store.WEIGHTS, CARD, "LICEN[CS]E*", "credits.tsv")
"""What of a repository is fetched: a model and what is said of it."""
BESIDE = (CARD, "LICEN[CS]E*", "credits.tsv", "training", "critics")
"""What goes with a model's files where it is saved unchanged."""

TEMPLATE = """\
---
{{ card_data }}
---

# {{ name }}

A network of unshift, `{{ class_path }}`: {{ parameters }} parameters, {{ sample_rate }} Hz.

    unshift inspect {{ repo_id | default("user/name", true) }}
    unshift restore shifted.wav mended.wav --model {{ repo_id | default("user/name", true) }}

Nothing in this repository is executed: the weights are safetensors, `generator.yaml` names a class and its arguments.
"""


class HubModel(
    ModelHubMixin,
    library_name="unshift",
    pipeline_tag="audio-to-audio",
    tags=["audio", "pitch-shifting", "audio-restoration"],
    model_card_template=TEMPLATE,
):
    """Any generator with huggingface_hub's `from_pretrained`, `save_pretrained` and `push_to_hub`.

        model = HubModel.from_pretrained("user/name")       # or a folder, a run, "voice48"
        mended = model.network.restore(waveform)
        model.push_to_hub("me/name")

    A network whose weights are as they came is saved and pushed with its card, licences and credits; another gets a new
    card, since the old one's figures are not its own.

    Args:
        network: a generator.
        spec: "class_path" and "init_args" that build it anew, as generators.store.describe gives them.
        origin: the folder that it came from, None for a new one.
    """

    def __init__(self, network: nn.Module, spec: dict[str, Any], origin: Path | None = None) -> None:
        self.network = network
        self.spec = spec
        self.origin = origin
        # What builds the network stands in generator.yaml, and nowhere else.
        self._hub_mixin_config = None

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **model_kwargs: Any,
    ) -> Self:
        """Load a model; what is on this disk wins, else it is fetched from the hub. Nothing in it is executed.

        Args:
            pretrained_model_name_or_path: a folder or run, "voice48", or "user/name" on the hub.
            force_download: see huggingface_hub.ModelHubMixin, as of the next four.
            token: for private models.
            cache_dir: where fetched files are kept.
            local_files_only: fetch nothing.
            revision: a branch, tag or commit.
            model_kwargs: trust, see generators.store.load.

        Raises:
            ModelError: it is not to be had, damaged, or of a class that is not trusted.
        """
        trust = bool(model_kwargs.pop("trust", False))
        if model_kwargs:
            raise ModelError(
                f"a model's arguments stand in its {store.DESCRIPTION}: leave out {', '.join(model_kwargs)}"
            )
        path = Path(pretrained_model_name_or_path)
        if store.on_hub(path):
            words = {"token": token, "cache_dir": cache_dir, "revision": revision}
            path = download(str(path), force_download=force_download, local_files_only=local_files_only, **words)
        folder = store.resolve(path)
        return cls(store.load(folder, trust=trust), store.describe(folder), folder)

    def _save_pretrained(self, save_directory: Path) -> None:
        origin = _digest(self.origin)
        before = _digest(save_directory)
        store.write(save_directory, self.network, self.spec, half=self._came_halved())
        now, card = _digest(save_directory), save_directory / CARD
        if before not in (None, now) and card.is_file() and str(before) in card.read_text("utf-8", errors="replace"):
            card.unlink()  # it is of the weights that were here, and says so
        if origin is None or origin != now or self.origin is None:
            return
        for pattern in BESIDE:
            for one in self.origin.glob(pattern):
                into = save_directory / one.name
                if not into.exists():  # what is there is the user's, or the same
                    shutil.copytree(one, into) if one.is_dir() else shutil.copyfile(one, into)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Write a card of what can be known of any network; more is for who trained it to say."""
        known = {
            "name": self.network.__class__.__name__,
            "class_path": self.spec["class_path"],
            "parameters": f"{sum(parameter.numel() for parameter in self.network.parameters()):,}",
            "sample_rate": getattr(self.network, "sample_rate", "unknown"),
        }
        return super().generate_model_card(*args, **(known | kwargs))

    def _came_halved(self) -> bool:
        """Whether the weights are 16-bit numbers on the disk, and unchanged: then they are saved so again."""
        if self.origin is None or not (self.origin / store.WEIGHTS).is_file():
            return False
        state = self.network.state_dict()
        with safe_open(self.origin / store.WEIGHTS, "pt") as file:
            kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return any(x.dtype == torch.float16 for x in kept.values()) and all(
            name in state and torch.equal(state[name].cpu(), x.to(state[name].dtype)) for name, x in kept.items()
        )


def download(name: str, **words: Any) -> Path:
    """Fetch a model from the hub; where the hub cannot be reached, take what was fetched before.

    Args:
        name: "user/name".
        words: see huggingface_hub.snapshot_download.

    Returns:
        Its folder on this disk.

    Raises:
        ModelError: it is not to be had.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=list(FETCHED), library_name="unshift", **words))
    except GatedRepoError as error:
        raise ModelError(f"{name}: its owner gives it to who asks on huggingface.co, after `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"{name} is not there, and the Hugging Face hub has no such model (or a private one: `hf auth login`)"
        ) from error
    except HfHubHTTPError as error:
        raise ModelError(f"{name}: the Hugging Face hub did not give it: {one_line(error)}") from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{name} is not there, nor was it fetched from the Hugging Face hub, which cannot be reached now: name a "
            f"folder with {store.DESCRIPTION}, or connect"
        ) from error
    except Exception as error:  # what a broken connection raises is the kind of whatever speaks HTTP below the hub
        raise ModelError(f"{name}: fetching it broke off ({one_line(error)}): the same command tries again") from error


def cached(name: str) -> Path | None:
    """Give the folder of a model that was fetched before, None where it was not. This asks nobody."""
    try:
        return download(name, local_files_only=True)
    except ModelError:
        return None


def _digest(folder: Path | None) -> str | None:
    """Give the fingerprint of a folder's weights, None where there are none."""
    if folder is None or not (folder / store.WEIGHTS).is_file():
        return None
    with (folder / store.WEIGHTS).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
