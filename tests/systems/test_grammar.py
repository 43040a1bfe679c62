"""Lists of specs: what was joined is split again, whatever the names, paths and commands hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchsep import registry
from benchsep.errors import UsageError
from benchsep.runner.suite import load_suite
from benchsep.systems.grammar import FAMILIES, split_specs
from benchsep.systems.spec import LONGEST_NAME, Spec, load_system
from benchsep.systems.training import parse_training

QUIET = settings(deadline=None, max_examples=150, print_blob=True)
NASTY = st.lists(
    st.sampled_from(
        [
            *",=:\"'\\ {}[]@#;|&$-_/.",
            *("::", "a", "B", "0", "é", "dir:", "cmd:", "mine=", "htdemucs", "{mixture}", "{out}"),
            *("::generative", "::oracle::musdb18:train", "='", '="', " '"),
        ]
    ),
    max_size=12,
).map("".join)
TEXT = NASTY.map(str.strip).filter(bool)
LABELS = TEXT.filter(lambda text: len(text) <= LONGEST_NAME)
OPTIONS = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), NASTY, max_size=3)
FAMILY = st.sampled_from(["", *FAMILIES])
TRAINING = st.sampled_from(["", "none", "unknown", "musdb18:train", "musdb18+moisesdb:all"])
SPECS = st.one_of(
    st.builds(
        Spec,
        st.sampled_from(["dir", "cmd"]),
        st.just({}),
        TEXT,
        st.just("") | LABELS,
        FAMILY,
        TRAINING,
    ),
    st.builds(
        Spec,
        st.sampled_from(["htdemucs", "tokensep", "oracle-irm"]),
        OPTIONS,
        st.just(""),
        st.just("") | LABELS,
        FAMILY,
        TRAINING,
    ),
)


@QUIET
@given(st.lists(SPECS, min_size=1, max_size=4))
def test_a_list_gives_back_every_spec_that_was_joined(specs: list[Spec]) -> None:
    texts = [str(spec) for spec in specs]
    assert [Spec.parse(text) for text in texts] == specs
    assert split_specs(",".join(texts)) == tuple(texts)


@QUIET
@given(NASTY)
def test_any_list_is_read_or_refused_and_reading_it_again_changes_nothing(text: str) -> None:
    try:
        specs = [Spec.parse(part) for part in split_specs(text)]
    except UsageError:
        return
    again = split_specs(",".join(map(str, specs)))
    assert [Spec.parse(part) for part in again] == specs


@QUIET
@given(st.dictionaries(st.sampled_from(["name", "family", "training_data"]), TEXT), SPECS)
def test_a_mapping_says_the_same_as_a_text(more: dict[str, str], spec: Spec) -> None:
    try:
        parsed = Spec.of({"spec": spec.bare, **more})
    except UsageError:
        return
    assert Spec.parse(str(parsed)) == parsed
    assert (parsed.label, parsed.family) == (more.get("name", ""), more.get("family", ""))


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("mine=folder:a/x,htdemucs", ["mine=folder:a/x", "htdemucs"]),
        ("htdemucs:checkpoint=mini,mine=dir:x", ["htdemucs:checkpoint=mini", "mine=dir:x"]),
        ("htdemucs:checkpoint=mini,overlap=0.1", ["htdemucs:checkpoint=mini,overlap=0.1"]),
        ("a:checkpoint=hf://b/c,d=e", ["a:checkpoint=hf://b/c,d=e"]),
        ("a:x=1,teacher='htdemucs'", ["a:x=1,teacher='htdemucs'"]),
        ("dir:x::generative,b=dir:y", ["dir:x::generative", "b=dir:y"]),
        ("dir:x::generative,b=nope", ["dir:x::generative", "b=nope"]),
        ("dir:Tom's,dir:Ann's", ["dir:Tom's", "dir:Ann's"]),
        ("\"A, B\"=dir:'x,y::z',c", ["\"A, B\"=dir:'x,y::z'", "c"]),
        (
            "m=cmd:\"p --x='1,2' -k=v {mixture} {out}\"::generative,htdemucs",
            ["m=cmd:\"p --x='1,2' -k=v {mixture} {out}\"::generative", "htdemucs"],
        ),
        (
            "cmd:p --x=\"1,2\" {mixture} '{out}',n=mixture",
            ["cmd:p --x=\"1,2\" {mixture} '{out}'", "n=mixture"],
        ),
    ],
)
def test_commas_that_end_a_system(text: str, specs: list[str]) -> None:
    assert split_specs(text) == tuple(specs)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("mine=folder:a/x", Spec("dir", {}, "a/x", "mine")),
        ("dir:a::b", Spec("dir", {}, "a::b")),
        ("dir:a::oracle", Spec("dir", {}, "a", "", "oracle")),
        ("dir:'a::oracle'", Spec("dir", {}, "a::oracle")),
        ("dir:a::::moisesdb", Spec("dir", {}, "a", "", "", "moisesdb")),
        ('cmd:"/a b/p" {mixture} "{out}"', Spec("cmd", {}, '"/a b/p" {mixture} "{out}"')),
        ('cmd:"p \\"{mixture}\\" {out}"', Spec("cmd", {}, 'p "{mixture}" {out}')),
        ("cmd:perl A::B {mixture} {out}", Spec("cmd", {}, "perl A::B {mixture} {out}")),
        ("x=htdemucs::generative", Spec("htdemucs", {}, "", "x", "generative")),
        ("msst:config='a,b.yaml'", Spec("msst", {"config": "a,b.yaml"})),
        ('"my, best: 2"=dir:p', Spec("dir", {}, "p", "my, best: 2")),
    ],
)
def test_what_a_spec_says(text: str, spec: Spec) -> None:
    assert Spec.parse(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=dir:x", "name of a system is ''"),
        ("reference=dir:x", "name of a reference system"),
        ("mixture@mine=dir:x", "name of a reference system"),
        ("'a\tb'=dir:x", "printable"),
        ("htdemucs::magic", "'magic' is not a family"),
        ("dir:x::generative::a:b:c", "is not a data set"),
        ("'never", "no name|is not closed"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Spec.parse(text)


def test_an_open_quote_is_refused_with_its_place() -> None:
    with pytest.raises(UsageError, match="character 5 is not closed"):
        split_specs("dir:'90s/est,htdemucs")


# -- YAML and what a system declares ------------------------------------------------------------


def test_a_suite_takes_texts_and_mappings(tmp_path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(
        "systems:\n"
        "- htdemucs\n"
        "- {spec: dir:runs/x, name: 'mine, new', family: generative,\n"
        "   training_data: [musdb18:train, moisesdb]}\n"
        "- spec: cmd:p {mixture} {out}\n"
        "  name: theirs\n"
    )
    suite = load_suite(path)
    assert suite.systems == (
        "htdemucs",
        '"mine, new"=dir:runs/x::generative::musdb18:train+moisesdb',
        "theirs=cmd:p {mixture} {out}",
    )
    assert load_suite(systems=({"spec": "dir:x", "name": "mine"},)).systems == ("mine=dir:x",)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{spec: dir:x, nam: y}", "unknown key 'nam'; did you mean 'name'"),
        ("{spec: dir:x, name: 3}", "name is 3, expected a text"),
        ("{spec: dir:x, family: generativ}", "did you mean 'generative'"),
        ("{spec: dir:x, training_data: [A B]}", "is not a data set"),
        ("{spec: dir:x, name: reference}", "reference system"),
    ],
)
def test_a_wrong_entry_of_a_suite_is_named(tmp_path, entry: str, message: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(f"systems: [{entry}]\n")
    with pytest.raises(UsageError, match=message):
        load_suite(path)


def test_a_declaration_fills_what_is_unknown_and_never_contradicts(tmp_path) -> None:
    text = 'cmd:"p {mixture} {out}"'
    info = load_system(f"mine={text}::generative::moisesdb").info
    assert (info.family, info.trained_on) == ("generative", ("moisesdb",))
    assert info.name == load_system(text).info.name
    assert load_system("oracle-irm::oracle").info.family == "oracle"
    with pytest.raises(UsageError, match="is oracle; leave out ::generative"):
        load_system("oracle-irm::generative")
    with pytest.raises(UsageError, match="was trained on nothing"):
        load_system("mixture::::moisesdb")


def test_what_begins_a_system_is_what_is_registered() -> None:
    assert split_specs("a:x=1,b=fresh:y") == ("a:x=1,b=fresh:y",)
    registry.register("system", "fresh", object)
    try:
        assert split_specs("a:x=1,b=fresh:y") == ("a:x=1", "b=fresh:y")
    finally:
        registry.unregister("system", "fresh")
    assert parse_training("none") == ()
