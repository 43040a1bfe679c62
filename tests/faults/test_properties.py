"""Laws of the parsers that meet strangers' text: spec strings, names, layouts, suites."""

from __future__ import annotations

import contextlib
import json
import string
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchsep._util.digest import canonical, digest, file_name
from benchsep.audio import STEMS
from benchsep.datasets.folder import FolderDataset
from benchsep.datasets.track import Track
from benchsep.errors import BenchsepError, SeparatorError, StoreError, UsageError
from benchsep.runner.suite import load_suite
from benchsep.stems.files import is_junk
from benchsep.systems.folder import recognise
from benchsep.systems.grammar import split_specs
from benchsep.systems.spec import Spec

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
ANY = st.text(st.characters(codec=None, categories=None), max_size=60)
NAMES = (
    *(
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/../b",
        "C:\\x",
        "a'b\"c",
        "a\nb",
        "a\0b",
        "CON",
        " a ",
        "a.",
    ),
    *(
        "\u00e5",
        "a\u030a",
        "\u1100\u1161",
        "\uac00",
        "x" * 255,
        "\u00e9" * 255,
        "\u00df",
        "ss",
        "SS",
    ),
)
"""Composed and decomposed, folded and not, too long, special to some system."""
HOSTILE = st.one_of(ANY, st.sampled_from(NAMES))
WORD = st.text(string.ascii_letters + string.digits + "_-.", min_size=1, max_size=12)
VALUE = st.text(string.ascii_letters + string.digits + "_-./ ", max_size=12).map(str.strip)


@QUIET
@given(WORD.filter(lambda n: n not in ("dir", "cmd", "folder")), st.dictionaries(WORD, VALUE))
def test_specs_round_trip(name, options):
    spec = Spec(name, options)
    assert Spec.parse(str(spec)) == spec


@QUIET
@given(st.sampled_from(["dir", "cmd", "folder"]), ANY.map(str.strip).filter(bool))
def test_a_path_or_a_command_is_kept_whole(name, text):
    parsed = Spec.parse(f"{name}:{text}")
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'"
    assert parsed.text == (text[1:-1] if quoted else text)


@QUIET
@given(HOSTILE)
def test_any_text_is_a_spec_or_a_usage_error(text):
    with contextlib.suppress(UsageError):
        parsed = Spec.parse(text)
        assert parsed.name
        assert Spec.parse(str(parsed)).name == parsed.name


@QUIET
@given(st.lists(st.tuples(WORD, st.dictionaries(WORD, WORD, max_size=3)), min_size=1, max_size=4))
def test_lists_of_specs_split_where_they_were_joined(parts):
    parts = [(n, o) for n, o in parts if n not in ("dir", "cmd", "folder")]
    specs = [str(Spec(name, options)) for name, options in parts]
    assert list(split_specs(",".join(specs))) == specs


@QUIET
@given(HOSTILE, HOSTILE)
def test_names_become_distinct_file_names_that_any_disk_takes(one, other):
    made = file_name(one)
    assert 0 < len(made.encode()) <= 180 and not set(made) & set('/\\\0:*?"<>|\n')
    assert made not in (".", "..") and not made.endswith((" ", "."))
    if one != other:
        assert made.casefold() != file_name(other).casefold()


@QUIET
@given(HOSTILE)
def test_a_file_name_can_be_made_on_this_disk(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("names")
    (folder / f"{file_name(name)}.json").write_text("x")
    assert [p.parent for p in folder.rglob("*")] == [folder]


@QUIET
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | ANY,
                    lambda x: st.lists(x, max_size=3) | st.dictionaries(ANY, x, max_size=3),
                    max_leaves=8))  # fmt: skip
def test_what_is_stored_is_read_back_or_refused(value):
    try:
        text = canonical(value)
    except StoreError:
        return
    assert canonical(json.loads(text)) == text
    assert digest(value) == digest(json.loads(text))


@QUIET
@given(st.lists(HOSTILE, min_size=1, max_size=3, unique=True), st.sampled_from(["wav", "flac"]))
def test_layouts_are_found_by_name_whatever_the_names(tmp_path_factory, names, suffix):
    """A folder of estimates gives each track its own files, and nothing for a name not there."""
    root = tmp_path_factory.mktemp("layout")
    made = []
    for name in names:
        if is_junk(name) or not _can_be_a_folder(root, name):
            continue
        (root / name).mkdir(exist_ok=True)
        (root / name / f"vocals.{suffix}").write_bytes(b"")
        made.append(name)
    if not made:
        with pytest.raises(UsageError):
            recognise(root)
        return
    layout = recognise(root)
    for name in made:
        files = layout.files(Track(name, "test", "folder", lambda: None))
        assert files in ({"vocals": root / name / f"vocals.{suffix}"}, {})
        # "0/" names the folder "0", and is not one folder's name itself
        assert files or "/" in name or layout.name != "flat"
    assert not layout.files(Track("not there/..", "test", "folder", lambda: None))


@QUIET
@given(st.lists(HOSTILE, min_size=1, max_size=3, unique=True))
def test_folders_become_tracks_with_names_that_can_be_stored(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("songs")
    made = [n for n in names if _can_be_a_folder(root, n)]
    for name in made:
        (root / name).mkdir(exist_ok=True)
        (root / name / "vocals.wav").write_bytes(b"")
    (root / "always").mkdir(exist_ok=True)
    (root / "always" / "bass.flac").write_bytes(b"")
    for track in FolderDataset(root).tracks():
        assert canonical(track.name)
        with pytest.raises(BenchsepError):
            track.load()


def _can_be_a_folder(root: Path, name: str) -> bool:
    try:
        return bool(name) and (root / name).parent == root and not (root / name).exists() and (
            len(name.encode()) <= 255 and "\0" not in name)  # fmt: skip
    except (OSError, ValueError):
        return False


def test_a_folder_whose_name_is_not_utf8_is_a_track(tmp_path):
    folder = tmp_path / "caf\udce9"  # how Python spells the byte E9, which is no UTF-8
    try:
        folder.mkdir()
    except (OSError, UnicodeError) as error:
        pytest.skip(f"this file system takes no such name: {error}")
    (folder / "vocals.wav").touch()
    (track,) = FolderDataset(tmp_path).tracks()
    assert track.name == "caf\\xe9"
    assert canonical(track.name)


@QUIET
@given(st.dictionaries(
    st.sampled_from(["systems", "metrics", "stems", "limit", "timeout", "draws", "x", "dataset"]),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), HOSTILE,
              st.lists(HOSTILE, max_size=3), st.dictionaries(ANY, ANY, max_size=2))))  # fmt: skip
def test_any_suite_is_valid_or_a_usage_error(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("suite") / "s.yaml"
    path.write_bytes(json.dumps(values).encode("utf-8", "surrogatepass"))
    try:
        suite = load_suite(path)
    except UsageError as error:
        assert str(path) in str(error)
        return
    assert set(suite.stems) <= set(STEMS)


def test_no_two_names_share_a_file_on_a_disk_that_folds_case_and_composes_letters():
    made = [unicodedata.normalize("NFC", file_name(name)).casefold() for name in (*NAMES, "CoN")]
    assert len(set(made)) == len(made)


def test_a_missing_estimate_names_the_track(tmp_path):
    from benchsep.systems.folder import EstimatesFolder

    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "vocals.wav").write_bytes(b"")
    with pytest.raises(SeparatorError, match="no estimate of 'two'"):
        EstimatesFolder(str(tmp_path)).estimates(Track("two", "test", "folder", lambda: None), None)
