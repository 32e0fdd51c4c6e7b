"""What a user can mend, and is told in one line."""

from features.contract import EarError
from gan.audio import AudioError
from gan.checkpoint import CheckpointError
from gan.data.manifest import ManifestError
from gan.journal import JournalError
from gan.recipe import ConfigError
from gan.weighing import WeightError
from generators.contract import ModelError

MISTAKES = (
    *(AudioError, CheckpointError, ConfigError, EarError, JournalError, ManifestError, ModelError, WeightError),
    OSError,
)
