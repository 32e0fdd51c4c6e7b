"""A new run that begins with the critics of an older one, and with what their optimiser remembers."""

import shutil
from pathlib import Path

import pytest
import torch
from runs import run_stage
from safetensors.torch import load_file

from gan import checkpoint
from gan.checkpoint import CheckpointError
from gan.recipe import ConfigError
from recipes.voice48.pack import main as pack

BEGUN = ("--rhythm.journal", "1", "--rhythm.validate", "2", "--rhythm.save", "2", "--adversary.judge_from", "0")
MOMENTS = "--initialise.parts=[generator,critics,critics_optimiser]"
CRITICS = "--initialise.parts=[generator,critics]"


@pytest.fixture(scope="module")
def two_steps(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of stage 3, from nothing."""
    run = tmp_path_factory.mktemp("two") / "run"
    return run_stage(3, run, pairs, *BEGUN, "--steps", "2", "--initialise", "null")


def moments(run: Path, step: int) -> dict[str, object]:
    return dict(checkpoint.load_tensors(checkpoint.folder_of(run, step) / "training.pt")["critics_optimiser"])


def frozen(run: Path, pairs: Path, origin: Path, parts: str, *more: str) -> Path:
    """Two more steps in which nothing can move but what an optimiser remembers: the rates are 0."""
    rates = ("--optimiser.init_args.lr", "0", "--adversary.optimiser.init_args.lr", "0")
    return run_stage(3, run, pairs, *BEGUN, "--steps", "2", "--initialise.folder", str(origin), parts, *rates, *more)


def test_critics_begin_where_they_were_and_their_optimiser_remembers(
    two_steps: Path, pairs: Path, tmp_path: Path
) -> None:
    old = moments(two_steps, 2)
    runs = {parts: frozen(tmp_path / str(n), pairs, two_steps, parts) for n, parts in enumerate((CRITICS, MOMENTS))}
    names = "critics/weights.safetensors"
    before = load_file(checkpoint.folder_of(two_steps, 2) / names)
    for run in runs.values():
        after = load_file(checkpoint.folder_of(run, 2) / names)
        # Weight decay goes with the rate, so that nothing moves at all.
        assert all(torch.equal(before[name], after[name]) for name in before)
    steps = {parts: {float(kept["step"]) for kept in moments(run, 2)["state"].values()} for parts, run in runs.items()}  # type: ignore[attr-defined]
    assert {float(kept["step"]) for kept in old["state"].values()} == {2.0}  # type: ignore[attr-defined]
    assert steps == {CRITICS: {2.0}, MOMENTS: {4.0}}


def test_rates_are_those_of_the_new_recipe(two_steps: Path, pairs: Path, tmp_path: Path) -> None:
    run = frozen(tmp_path / "run", pairs, two_steps, MOMENTS, "--adversary.optimiser.init_args.weight_decay", "0.5")
    (group,) = moments(run, 2)["param_groups"]  # type: ignore[misc]
    assert (group["initial_lr"], group["weight_decay"]) == (0.0, 0.5)
    assert moments(two_steps, 2)["param_groups"][0]["initial_lr"] > 0  # type: ignore[index]


def test_what_the_new_recipe_says_of_its_optimiser_holds(two_steps: Path, pairs: Path, tmp_path: Path) -> None:
    """The moments were kept by a fused one."""
    run = frozen(tmp_path / "run", pairs, two_steps, MOMENTS, "--adversary.optimiser.init_args.fused", "false")
    assert moments(run, 2)["param_groups"][0]["fused"] is False  # type: ignore[index]
    with pytest.raises(CheckpointError, match="it is of other critics"):  # it keeps one number more for each weight
        frozen(tmp_path / "two", pairs, two_steps, MOMENTS, "--adversary.optimiser.init_args.amsgrad", "true")


def test_a_model_may_have_its_critics_with_it(two_steps: Path, pairs: Path, tmp_path: Path) -> None:
    whole = checkpoint.folder_of(two_steps, 2)
    model = Path(shutil.copytree(whole / "average", tmp_path / "model"))
    pack([str(two_steps), str(model)])
    assert load_file(model / "critics/weights.safetensors")["members.period3.last.bias"].dtype == torch.float16
    run = frozen(tmp_path / "run", pairs, model, MOMENTS)
    assert {float(kept["step"]) for kept in moments(run, 2)["state"].values()} == {4.0}  # type: ignore[attr-defined]


def test_parts_may_come_from_several_places(two_steps: Path, pairs: Path, tmp_path: Path) -> None:
    """The generator of one run, one of its parts from another, the critics and their memory from a third."""
    begun = (*BEGUN, "--steps", "2", "--initialise", "null", "--rhythm.validate", "2", "--seed")
    second = run_stage(3, tmp_path / "second", pairs, *begun, "1")
    third = run_stage(3, tmp_path / "third", pairs, *begun, "2", "--steps", "4")
    parts = ["generator.leave", "generator", "critics", "critics_optimiser"]
    elsewhere = {"generator.leave": second, "critics": third, "critics_optimiser": third}
    words = f"{{{', '.join(f'{part}: {folder}' for part, folder in elsewhere.items())}}}"
    run = frozen(
        tmp_path / "run", pairs, two_steps, f"--initialise.parts=[{','.join(parts)}]", f"--initialise.elsewhere={words}"
    )

    def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
        return load_file(checkpoint.folder_of(folder, 2) / name / "weights.safetensors")

    new, old, other = (weights(folder, "average") for folder in (run, two_steps, second))
    moved = [name for name in new if not torch.equal(old[name], other[name])]
    assert {name.startswith("leave.") for name in moved} == {True, False}
    assert all(torch.equal(new[name], (other if name.startswith("leave.") else old)[name]) for name in new)
    judges, theirs = weights(run, "critics"), load_file(checkpoint.folder_of(third, 4) / "critics/weights.safetensors")
    assert {float(kept["step"]) for kept in moments(run, 2)["state"].values()} == {6.0}, "four steps and two"  # type: ignore[attr-defined]
    assert all(torch.equal(judges[name], theirs[name]) for name in judges)
    assert any(not torch.equal(judges[name], x) for name, x in weights(two_steps, "critics").items())
    with pytest.raises(ConfigError, match=r"elsewhere names 'critics', but initialise\.parts does not"):
        frozen(tmp_path / "none", pairs, two_steps, "--initialise.parts=[generator]", f"--initialise.elsewhere={words}")
    with pytest.raises(ConfigError, match="one folder for critics and critics_optimiser"):
        frozen(tmp_path / "none", pairs, two_steps, MOMENTS, f"--initialise.elsewhere={{critics: {third}}}")


def test_what_cannot_be_taken_is_told_in_one_line(two_steps: Path, pairs: Path, tmp_path: Path) -> None:
    origin = Path(shutil.copytree(two_steps, tmp_path / "origin", symlinks=True))
    training = checkpoint.folder_of(origin, 2) / "training.pt"
    values = checkpoint.load_tensors(training)
    torch.save(values | {"critics_optimiser": values["optimiser"]}, training)
    for words in ("it is of other critics", "missing or damaged"):
        with pytest.raises(CheckpointError, match=words) as caught:
            frozen(tmp_path / "run", pairs, origin, MOMENTS)
        assert "\n" not in str(caught.value)
        training.write_bytes(b"")
    torch.save({name: value for name, value in values.items() if name != "critics_optimiser"}, training)
    with pytest.raises(CheckpointError, match="its run had no critics"):
        frozen(tmp_path / "run", pairs, origin, MOMENTS)
    with pytest.raises(ConfigError, match="critics_optimiser without critics"):
        frozen(tmp_path / "run", pairs, origin, MOMENTS.replace("critics,", ""))
    with pytest.raises(ConfigError, match="names critics, but the recipe has no adversary"):
        run_stage(1, tmp_path / "one", pairs, "--initialise.folder", str(two_steps), CRITICS, "--steps", "1")
