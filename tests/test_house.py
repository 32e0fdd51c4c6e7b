"""The house's own rules: which way imports run, what may not be here, how big things may grow."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("generators", "discriminators", "features", "gan", "recipes")
FILES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))
# A room may import these rooms of ours, besides itself.
MAY_IMPORT = {
    "generators": {"features.spectrum"},  # functions of spectra, which import nothing of ours
    "discriminators": {"features.spectrum"},
    "features": {"generators"},
    "gan": {"generators.contract", "generators.store", "generators.streaming", "generators.measure"}
    | {"generators.codec", "generators.published"}
    | {"discriminators.contract", "features.contract", "features.spectrum", "features.pitch"}
    | {"features.torchaudio_extension"},
    "recipes": {"gan", "features", "generators", "discriminators"},
}
ONLY_IN = {
    "accelerate": {"gan", "recipes"},
    "transformers": {"features/wavlm.py", "features/dac.py"},
    "huggingface_hub": {"generators/hub.py", "recipes/voice48/ship.py", "features/pretrained.py"},
    "soundfile": {"gan/audio.py"},
    "jsonargparse": {"gan/config.py"},
    "constriction": {"gan/coding/entropy.py"},
    "vector_quantize_pytorch": {"generators/codebook.py", "generators/residual_vq.py", "generators/scalar.py"},
}
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}


def imports(file: Path) -> set[str]:
    """Every module that a file imports, at its top or inside functions; `from a import b` counts as a and as a.b."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute here"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def within(module: str, allowed: set[str]) -> bool:
    return any(module == one or module.startswith(one + ".") for one in allowed)


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 40
    assert {name_of(file).split("/")[0] for file in FILES} == set(ROOMS)


def test_what_every_room_may_import_imports_nothing_of_ours() -> None:
    assert not {module.split(".")[0] for module in imports(ROOT / "features/spectrum.py")} & set(ROOMS)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_run_one_way(file: Path) -> None:
    room = name_of(file).split("/")[0]
    for module in imports(file):
        other = module.split(".")[0]
        if other in ROOMS and other != room:
            assert within(module, MAY_IMPORT[room]), f"{name_of(file)} imports {module}"
        if other in ONLY_IN:
            assert {room, name_of(file)} & ONLY_IN[other], f"{name_of(file)} imports {other}"


def test_pairs_know_no_network() -> None:
    for file in (ROOT / "gan" / "pairs").rglob("*.py"):
        for module in imports(file):
            assert module.split(".")[0] not in ("generators", "discriminators", "transformers"), name_of(file)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_rooms_are_not_crowded(file: Path) -> None:
    source = file.read_text()
    assert file.name not in FORBIDDEN_NAMES
    assert len(source.splitlines()) <= 300
    tree = ast.parse(source)
    assert ast.get_docstring(tree), "every file opens with what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 50, node.name


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_nothing_loads_pickles(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            assert any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in node.keywords)
        if isinstance(node, ast.keyword):
            assert node.arg != "allow_pickle"
    assert not {"pickle", "dill", "joblib"} & {module.split(".")[0] for module in imports(file)}
