"""Synonyms: rules of a file that anybody may write, read while searches go on."""

import logging
from pathlib import Path

import pytest

from search.engines.embedded import EmbeddedEngine
from search.engines.embedded.analysis import ENGLISH
from search.engines.embedded.synonyms import Synonyms, SynonymsFile, Term, parsed, read
from search.engines.embedded.words import matching, wanted
from tests.unit.search.engines.test_embedded import MODELS, corpus, scope_of


def alike(query: str, *lines: str) -> dict[str, tuple[Term, ...]]:
    rules = [rule for line in lines for rule in parsed(line)]
    return {word.spelled: word.alike for word in wanted(query, ENGLISH, Synonyms(rules))}


def test_each_of_a_list_finds_the_others_and_an_arrow_points_one_way() -> None:
    assert alike("cars", "car, Automobile, auto") == {"cars": (("automobile",), ("auto",))}
    assert alike("jpg", "jpg, jpeg => photo") == {"jpg": (("photo",),)}
    assert alike("photo", "jpg, jpeg => photo") == {"photo": ()}
    assert alike("car", "car, auto", "auto, vehicle") == {"car": (("auto",),)}, "rules do not lead on"
    assert alike("car", "car, auto", "car => vehicle") == {"car": (("auto",), ("vehicle",))}


def test_several_words_are_one_term() -> None:
    assert alike("nyc skyline", "nyc, New York") == {"nyc": (("new", "york"),), "skyline": ()}
    assert alike("new york", "nyc, New York") == {"new": (("nyc",),), "york": (("nyc",),)}
    assert alike("york new", "nyc, New York") == {"york": (), "new": ()}


@pytest.mark.parametrize("line", ["", "   ", "# car, auto", "car, auto # both"])
def test_blank_lines_and_comments_are_no_rules(line: str) -> None:
    assert len(parsed(line)) == 2 * line.startswith("car")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("car", "alone"),
        ("car, car", "alone"),
        ("car,, auto", "missing"),
        ("car =>", "missing"),
        ("=> car", "missing"),
        ("a => b => c", "more than one"),
        ("car, !?", "missing"),
        ("one two three four five six => six", "more than 5 words"),
        (", ".join(f"w{n}" for n in range(33)), "at most 32"),
    ],
)
def test_what_is_no_rule_says_why(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parsed(line)


def test_a_bad_line_is_named_and_the_others_hold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "synonyms.txt"
    path.write_text("car, auto\nlonely\njpg => photo\n")
    rules, problems = read(path)
    assert len(rules) == 3
    assert [problem.startswith(f"{path}, line 2: ") for problem in problems] == [True]
    file = SynonymsFile(path)
    with caplog.at_level(logging.ERROR):
        file.now()
        file.now()
    assert caplog.text.count("line 2") == 1, "said once"
    assert wanted("car", ENGLISH, file.now())[0].alike == (("auto",),)


def test_a_file_is_read_again_once_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = EmbeddedEngine(tmp_path / "generations", MODELS, ENGLISH, SynonymsFile(tmp_path / "synonyms.txt"))
    engine.publish(corpus())
    scope = scope_of([1, 2, 3])
    assert list(engine.keywords(scope, "mocha", 5)) == []
    (tmp_path / "synonyms.txt").write_text("mocha => espresso")
    found = {match.asset: match.score for match in engine.keywords(scope, "mocha", 5)}
    assert found == {1: 0.9, 2: 0.72, 3: 0.72}
    assert engine.matching_words("mocha", "An espresso cup") == ("espresso",)
    (tmp_path / "synonyms.txt").write_bytes(b"mocha => \xff")
    assert list(engine.keywords(scope, "mocha", 5)) == [], "what cannot be read says nothing"
    assert "cannot be read" in caplog.text
    (tmp_path / "synonyms.txt").unlink()
    assert list(engine.keywords(scope, "mocha", 5)) == []
    (tmp_path / "synonyms.txt").mkdir()
    assert list(engine.keywords(scope, "mocha", 5)) == []


def test_the_words_of_a_synonym_are_those_that_matched() -> None:
    rules = Synonyms(parsed("nyc, new york"))
    assert matching("nyc", "A new day in New York", ENGLISH, rules) == ("New", "York")
    assert matching("nyc", "A new day in York", ENGLISH, rules) == ()
    assert matching("new york", "NYC at night", ENGLISH, rules) == ("NYC",)
