"""A generator's folder: what is saved comes back, and nothing that is damaged or strange gets in."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from generators import store
from generators.contract import ModelError
from generators.restorer import Restorer

SPEC = {
    "class_path": "generators.restorer.Restorer",
    "init_args": {"channels": [2, 3], "strides": [4], "sample_rate": 8000},
}


def saved(folder: Path) -> Restorer:
    network = Restorer(**SPEC["init_args"])  # type: ignore[arg-type]
    store.save(folder, network, SPEC)
    return network


def rewrite(file: Path, **changes: object) -> None:
    words = yaml.safe_load(file.read_text()) | changes
    file.write_text(yaml.safe_dump(words))


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    network = saved(tmp_path / "model")
    again = store.load(tmp_path / "model")
    assert not again.training
    x = torch.randn(1, 1, 99)
    assert torch.equal(network.restore(x), again.restore(x))  # type: ignore[operator]
    assert store.describe(tmp_path / "model")["sample_rate"] == 8000
    assert sorted(f.name for f in tmp_path.iterdir()) == ["model"]
    modes = {(tmp_path / "model" / name).stat().st_mode for name in (store.WEIGHTS, store.DESCRIPTION)}
    assert len(modes) == 1, "who may read the one may read the other"


def test_saving_again_replaces_the_whole(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    (tmp_path / "model" / "old").touch()
    network = saved(tmp_path / "model")
    assert not (tmp_path / "model" / "old").exists()
    assert torch.equal(
        store.load(tmp_path / "model").state_dict()["leave.1.bias"], network.state_dict()["leave.1.bias"]
    )


def test_a_failed_save_leaves_the_old_one(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    before = (tmp_path / "model" / store.WEIGHTS).read_bytes()
    with pytest.raises(yaml.YAMLError):
        store.save(tmp_path / "model", Restorer(channels=[2, 3], strides=[4]), SPEC | {"init_args": object()})
    assert (tmp_path / "model" / store.WEIGHTS).read_bytes() == before
    assert sorted(f.name for f in tmp_path.iterdir()) == ["model"]


def test_every_damage_is_told_in_one_line(tmp_path: Path) -> None:
    spoilers = {
        "no description": lambda folder: (folder / store.DESCRIPTION).unlink(),
        "no weights": lambda folder: (folder / store.WEIGHTS).unlink(),
        "cut": lambda folder: (folder / store.WEIGHTS).write_bytes((folder / store.WEIGHTS).read_bytes()[:-7]),
        "empty": lambda folder: (folder / store.WEIGHTS).write_bytes(b""),
        "binary": lambda folder: (folder / store.DESCRIPTION).write_bytes(bytes(range(256))),
        "a list": lambda folder: (folder / store.DESCRIPTION).write_text("- 1\n"),
        "future": lambda folder: rewrite(folder / store.DESCRIPTION, format=99),
        "no class": lambda folder: rewrite(folder / store.DESCRIPTION, class_path="generators.restorer.Nobody"),
        "no room": lambda folder: rewrite(folder / store.DESCRIPTION, class_path="generators.nowhere.Nobody"),
        "no network": lambda folder: rewrite(folder / store.DESCRIPTION, class_path="generators.contract.Pair"),
        "stranger": lambda folder: rewrite(folder / store.DESCRIPTION, class_path="subprocess.Popen"),
        "arguments": lambda folder: rewrite(folder / store.DESCRIPTION, init_args={"wdth": 3}),
        "arguments that are no words": lambda folder: rewrite(folder / store.DESCRIPTION, init_args=[1, 2]),
        "names that are no words": lambda folder: rewrite(folder / store.DESCRIPTION, init_args={1: 2}),
        "division by zero": lambda folder: rewrite(
            folder / store.DESCRIPTION, init_args={"channels": [2, 3], "strides": [0]}
        ),
        "types": lambda folder: rewrite(folder / store.DESCRIPTION, init_args={"channels": "ab", "strides": None}),
        "class path of lines": lambda folder: rewrite(folder / store.DESCRIPTION, class_path="generators.a\nb.C"),
        "no module": lambda folder: rewrite(folder / store.DESCRIPTION, class_path="generators..C"),
        "rate of none": lambda folder: rewrite(folder / store.DESCRIPTION, sample_rate=None),
        "another rate": lambda folder: rewrite(folder / store.DESCRIPTION, sample_rate=16_000),
        "deep": lambda folder: (folder / store.DESCRIPTION).write_text("[" * 100_000),
        "endless": lambda folder: (folder / store.DESCRIPTION).write_text(
            "&a\nformat: 1\nclass_path: generators.restorer.Restorer\ninit_args: {channels: *a}\n"
        ),
        "a huge format": lambda folder: (folder / store.DESCRIPTION).write_text(
            "class_path: generators.restorer.Restorer\nformat: 0x" + "f" * 5000
        ),
        "no boolean": lambda folder: (folder / store.DESCRIPTION).write_text("x: !!bool maybe"),
        "no number": lambda folder: (folder / store.DESCRIPTION).write_text("x: !!int ''"),
        "no time": lambda folder: (folder / store.DESCRIPTION).write_text("x: !!timestamp foo"),
        "long": lambda folder: (folder / store.DESCRIPTION).write_text("a: " + "b" * 2_000_000),
        "a number beyond all": lambda folder: (folder / store.DESCRIPTION).write_text("a: " + "9" * 10_000),
        "a stranger as a part": lambda folder: rewrite(
            folder / store.DESCRIPTION, init_args={"channels": {"class_path": "subprocess.Popen", "init_args": {}}}
        ),
        "other shape": lambda folder: rewrite(
            folder / store.DESCRIPTION, init_args={"channels": [3, 4], "strides": [4]}
        ),
    }
    for name, spoil in spoilers.items():
        saved(folder := tmp_path / name)
        spoil(folder)
        with pytest.raises(ModelError) as caught:
            store.load(folder)
        assert "\n" not in str(caught.value), name
        assert str(tmp_path) in str(caught.value), name


def test_a_description_that_unfolds_to_millions_of_words_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    lines = [f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(7)]
    last = "format: 1\nclass_path: generators.restorer.Restorer\ninit_args: {channels: *a7}\n"
    (tmp_path / store.DESCRIPTION).write_text("a0: &a0 [x]\n" + "".join(lines) + last)
    with pytest.raises(ModelError, match="aliases"):
        store.load(tmp_path)


@pytest.mark.parametrize("rate", [0, -48_000, True, 48_000.0, "48000", None, 10**12])
def test_a_rate_that_is_none_is_refused(tmp_path: Path, rate: object) -> None:
    saved(tmp_path)
    rewrite(tmp_path / store.DESCRIPTION, init_args=SPEC["init_args"] | {"sample_rate": rate}, sample_rate=rate)
    with pytest.raises(ModelError, match=r"sample.rate"):
        store.load(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = Restorer(**SPEC["init_args"])  # type: ignore[arg-type]
    torch.nn.init.constant_(network.bottom[0].layers[1].bias, float("nan"))
    store.save(tmp_path / "model", network, SPEC)
    with pytest.raises(ModelError, match="not finite"):
        store.load(tmp_path / "model")


@pytest.mark.parametrize("kind", [torch.complex64, torch.float8_e4m3fn, torch.int32, torch.bool])
def test_weights_of_another_kind_are_refused(tmp_path: Path, kind: torch.dtype) -> None:
    network = saved(tmp_path / "model")
    state = {name: tensor.to(kind) for name, tensor in network.state_dict().items()}
    save_file(state, tmp_path / "model" / store.WEIGHTS)
    with pytest.raises(ModelError, match=f"{kind} where the network has torch.float32"):
        store.load(tmp_path / "model")


def test_weights_that_are_too_large_for_the_network_are_refused(tmp_path: Path) -> None:
    network = saved(tmp_path / "model")
    state = {name: torch.full_like(x, 1e300, dtype=torch.float64) for name, x in network.state_dict().items()}
    save_file(state, tmp_path / "model" / store.WEIGHTS)
    with pytest.raises(ModelError, match="not finite"):
        store.load(tmp_path / "model")


def test_weights_of_half_the_size_are_read(tmp_path: Path) -> None:
    network = saved(tmp_path / "model")
    save_file({name: x.half() for name, x in network.state_dict().items()}, tmp_path / "model" / store.WEIGHTS)
    for name, tensor in store.load(tmp_path / "model").state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name].half().float())


def test_a_list_that_occurs_twice_is_written_twice(tmp_path: Path) -> None:
    sizes = [4, 4]
    network = Restorer(channels=[2, 3, 4], strides=sizes, sample_rate=8000)
    words = {"channels": [2, 3, 4], "strides": sizes, "sample_rate": 8000}
    store.save(tmp_path / "model", network, SPEC | {"init_args": words, "note": sizes})
    assert store.describe(tmp_path / "model")["init_args"]["strides"] == [4, 4]


def test_strangers_need_trust(tmp_path: Path) -> None:
    spec = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 1, "out_features": 1}}
    store.save(tmp_path / "model", torch.nn.Linear(1, 1), spec)
    with pytest.raises(ModelError, match="--trust"):
        store.load(tmp_path / "model")
    assert isinstance(store.load(tmp_path / "model", trust=True), torch.nn.Linear)


def test_a_run_a_checkpoint_and_a_folder_can_be_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(ModelError, match="is not there"):
        store.resolve(run)
    for step in (1, 2):
        saved(run / "checkpoints" / f"{step:08d}" / "generator")
    saved(run / "checkpoints" / "00000003.partial" / "generator")
    second = run / "checkpoints" / "00000002"
    assert store.resolve(run) == second / "generator"
    saved(second / "average")
    assert store.resolve(second) == second / "average"
    (run / "best").symlink_to("checkpoints/00000001")
    assert store.resolve(run) == run / "best" / "generator"
    assert store.resolve(second / "average") == second / "average"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="holds no model"):
        store.resolve(tmp_path / "empty")


def test_weights_of_another_network_hint_at_the_recipe(tmp_path: Path) -> None:
    saved(tmp_path / "model")
    other = Restorer(channels=[2, 4], strides=[4], sample_rate=8000)
    with pytest.raises(ModelError, match=r"another network: .*; the generator of the recipe .* differs from") as caught:
        store.load_weights(tmp_path / "model", other)
    assert "\n" not in str(caught.value)
