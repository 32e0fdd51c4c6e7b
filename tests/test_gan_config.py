"""Configurations: every recipe that we ship can be read, and mistakes are told in one line before anything is built."""

from pathlib import Path

import pytest
import yaml

from gan.config import Config, difference, load
from gan.recipe import ConfigError
from gan.weighing import check_weights, weights_at

RECIPES = Path(__file__).parents[1] / "recipes"
STAGES = sorted(file for place in (".", "tiny", "codec", "voice48") for file in (RECIPES / place).glob("*.yaml"))
PENALTIES = {"commitment", "codebook", "kl", "gate"}
TINY = RECIPES / "tiny" / "stage3.yaml"


def read(*arguments: str) -> Config:
    return load(arguments, TINY)


def test_all_stages_are_here() -> None:
    assert [file.relative_to(RECIPES).as_posix() for file in STAGES] == [
        *(f"codec/{name}.yaml" for name in ("dac44", "requantise", "stage1", "stage3", "vae1", "vae3")),
        *(f"stage{number}.yaml" for number in (1, 2, 3)),
        *(f"tiny/{name}.yaml" for name in ("codec", "codec_maps", "codec_stage3", "stage1", "stage2", "stage3")),
        *(f"voice48/{name}.yaml" for name in ("finetune", "gate", "stage1", "stage2", "stage3")),
    ]


@pytest.mark.parametrize("file", STAGES, ids=lambda file: file.relative_to(RECIPES).as_posix())
def test_a_stage_is_complete(file: Path) -> None:
    config = load(["--config", str(file)], TINY)
    values = yaml.safe_load(config.dump())
    critics = ("adversarial", "feature_matching") if values.get("adversary") else ()
    check_weights(values["weights"], values["terms"], critics)
    assert set(values["weights"]) - PENALTIES == set(values["terms"]) | set(critics)
    command, launch, script, *more = file.read_text().splitlines()[0].split()[1:]
    assert (command, launch) == ("accelerate", "launch")
    assert (RECIPES.parent / script).exists()
    assert more in ([], ["--config", f"recipes/{file.relative_to(RECIPES).as_posix()}"])


OPTIONS = sorted((RECIPES.parent / "benchmarks" / "speedrun").glob("*.yaml"))


@pytest.mark.parametrize("file", OPTIONS, ids=lambda file: file.stem)
def test_an_option_of_the_speedrun_builds(file: Path) -> None:
    config = load(["--config", str(file)], TINY)
    recipe = config.build()
    weights = set(yaml.safe_load(config.dump())["weights"])
    assert weights == set(recipe.terms) | ({"adversarial", "feature_matching"} if recipe.adversary else set())
    assert recipe.adversary is None or recipe.adversary.members == (1 if file.stem == "one_critic" else None)


def test_no_member_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"adversary\.members must be a number from 1 up"):
        read("--adversary.members", "0").build()


def test_tiny_stages_differ_from_the_full_ones_in_size_alone() -> None:
    for file in RECIPES.glob("stage*.yaml"):
        full, tiny = (yaml.safe_load((folder / file.name).read_text()) for folder in (RECIPES, RECIPES / "tiny"))
        assert set(full["terms"]) == set(tiny["terms"])
        assert set(full["weights"]) == set(tiny["weights"])
        assert ("adversary" in full) == ("adversary" in tiny)


def test_dots_override_and_parts_come_by_path() -> None:
    config = read("--data.batch", "2", "--adversary.judge_from", "7", "--terms.mel.init_args.sample_rate", "8000")
    recipe = config.build()
    assert recipe.data.batch == 2
    assert recipe.adversary is not None
    assert [recipe.adversary.judges(step) for step in (6, 7)] == [False, True]
    assert config.part("generator")["class_path"].startswith("generators.")
    assert yaml.safe_load(config.dump())["terms"]["mel"]["init_args"]["sample_rate"] == 8000


def test_a_weight_can_be_a_ramp() -> None:
    weights = read("--weights.mel", "{first: 1.0, last: 3.0, steps: 4}", "--weights.waveform", "2").build().weights
    found = [weights_at(weights, step) for step in (0, 1, 4, 99)]
    assert [at["mel"] for at in found] == [1.0, 1.5, 3.0, 3.0]
    assert {at["waveform"] for at in found} == {2.0}


def test_a_dump_reads_back_as_itself(tmp_path: Path) -> None:
    first = read().dump()
    (tmp_path / "config.yaml").write_text(first)
    assert load(["--config", str(tmp_path / "config.yaml")], TINY).dump() == first


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data.btch", "3"], "btch"),
        (["--data.batch", "many"], "batch"),
        (["--generator.init_args.wdth", "9"], "wdth"),
        (["--generator", "generators.nowhere.Nobody"], "nowhere"),
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--config", str(TINY), "--config", str(TINY)], "one --config"),
        (["--precision", "fp16"], "fp16"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        read(*arguments)
    assert "\n" not in str(caught.value)


def test_unknown_keys_in_the_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "stage.yaml"
    file.write_text("stepps: 10\n")
    with pytest.raises(ConfigError, match="stepps"):
        load(["--config", str(file)], TINY)


def test_a_difference_names_both_values() -> None:
    assert difference("a: 1\nb: 2\n", "a: 1\nb: 3\n") == ["-b: 2", "+b: 3"]
    assert difference("a: 1\n", "a: 1\n") == []


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(bytes(range(128, 256)))
    with pytest.raises(ConfigError) as error:
        load(["--config", str(tmp_path / "x.yaml")], tmp_path / "x.yaml")
    assert "\n" not in str(error.value)
