"""Understanding requests: quotes, bounds, usages and cursors."""

import unicodedata
from datetime import date
from time import perf_counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.errors import BadQuery
from search.query import MAX_PHRASES, MAX_UNLIKE, SearchRequest, parse_usage, understand
from search.types import Channel, CreatedRange, Filters, Usage


def test_quoted_words_become_phrases_and_stay_in_the_text() -> None:
    query = understand(SearchRequest(text='red "espresso cup"  on “oak wood”'), "mara")
    assert query.phrases == ("espresso cup", "oak wood")
    assert query.text == "red espresso cup on oak wood"


@pytest.mark.parametrize(
    ("text", "left", "unlike", "barred"),
    [
        ("beach -people", "beach", ("people",), ()),
        ("-people", "", ("people",), ()),
        ('beach -people -"sun hat"', "beach", ("people", "sun hat"), ("sun hat",)),
        ("strand -„roter Hut“ -Regen", "strand", ("Regen", "roter Hut"), ("roter Hut",)),
        ("tee -t-shirt", "tee", ("t-shirt",), ()),
        ("beach -🐶", "beach", ("dog",), ()),
        ("red t-shirt", "red t-shirt", (), ()),
        ("2020-2021", "2020-2021", (), ()),
        ("at -5 degrees", "at -5 degrees", (), ()),
        ("2026-11-24 -2", "2026-11-24 -2", (), ()),
        ("sea - view", "sea - view", (), ()),
        ("rock -n- roll", "rock -n- roll", (), ()),
        ("sea --view", "sea --view", (), ()),
        ("sea –view —wide −far", "sea –view —wide −far", (), ()),  # noqa: RUF001
        ('"beach -people"', "beach -people", (), ()),
        ('"sea"-"hat"', "sea - hat", (), ()),
        ('beach -"" -"!"', "beach", (), ()),
        ("beach -people -people", "beach", ("people",), ()),
        ("-", "-", (), ()),
        ('beach -"open', 'beach -"open', (), ()),
    ],
)
def test_a_minus_takes_away(text: str, left: str, unlike: tuple[str, ...], barred: tuple[str, ...]) -> None:
    query = understand(SearchRequest(text=text), "mara")
    assert (query.text, query.barred) == (left, barred)
    assert set(query.unlike) == set(unlike)


def test_what_is_not_wanted_is_gathered_from_both_places() -> None:
    query = understand(SearchRequest(text="beach -dog", unlike='crowded places "sun hat" -rain'), "mara")
    assert query.unlike == ("dog", "crowded places sun hat", "rain")
    assert query.barred == ("sun hat",)


def test_what_is_beyond_the_bounds_still_counts_as_words() -> None:
    query = understand(SearchRequest(text=" ".join(f'"p{n} q"' for n in range(30))), "mara")
    assert len(query.phrases) == MAX_PHRASES
    assert "p29 q" in query.text
    query = understand(SearchRequest(text=" ".join(f"-w{n}" for n in range(30))), "mara")
    assert len(query.unlike) == MAX_UNLIKE
    assert query.unlike[-1].endswith("w29")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("🐶 on a beach", "dog on a beach"),
        ("👩‍🚒", "woman fire engine"),
        ("👍🏽", "thumbs up"),
        ("❤️", "heart"),
        ("😎", "smiling face with sunglasses"),
        ("🇩🇪", ""),
        ("sun\u00adflower", "sunflower"),
        ("\u202eעברית\u202c שלום", "עברית שלום"),  # noqa: RUF001
        ("a\x00b\tc\u200bd", "a b c d"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # noqa: RUF001
        ("© 2026 №5", "© 2026 №5"),
        ('"🐶"', "dog"),
    ],
)
def test_signs_are_read(text: str, read: str) -> None:
    query = understand(SearchRequest(text=text), "mara")
    assert (query.text, query.phrases) == (read, ())


_QUERY_SIGNS = st.text('ab "-“”„«»🐶\u202e\u200d1é', max_size=120)


@given(st.one_of(st.text(max_size=300), _QUERY_SIGNS))
def test_any_text_is_understood(text: str) -> None:
    query = understand(SearchRequest(text=text, unlike=text[::-1]), "mara")
    for part in (query.text, *query.phrases, *query.unlike, *query.barred):
        assert part == " ".join(part.split())
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in part)
    assert len(query.phrases) <= MAX_PHRASES
    assert len(query.barred) <= MAX_PHRASES
    assert len(query.unlike) <= MAX_UNLIKE
    assert all((*query.phrases, *query.unlike, *query.barred))


@given(st.text("abé 12", max_size=60))
def test_plain_words_stay_as_they_are(text: str) -> None:
    query = understand(SearchRequest(text=text), "mara")
    assert query.text == " ".join(unicodedata.normalize("NFC", text).split())
    assert not (query.phrases or query.unlike or query.barred)


@pytest.mark.parametrize("text", ["-a" * 5000, '"' * 10_000, " -" * 5000, '-"' * 5000, "a-" * 5000, "🐶" * 5000])
def test_long_texts_are_understood_at_once(text: str) -> None:
    begun = perf_counter()
    understand(SearchRequest(text=text), "mara")
    assert perf_counter() - begun < 2


def test_one_example_or_several() -> None:
    for given_, read in (("x", ("x",)), (None, ()), ("", ()), (("x", "y", "x"), ("x", "y"))):
        assert understand(SearchRequest(similar_to=given_), "mara").similar_to == read
    with pytest.raises(BadQuery, match="at most 8"):
        understand(SearchRequest(similar_to=tuple("abcdefghi")), "mara")
    assert msgspec.json.decode(b'{"similarTo": "x"}', type=SearchRequest).similar_to == "x"
    assert msgspec.json.decode(b'{"similarTo": ["x", "y"]}', type=SearchRequest).similar_to == ("x", "y")


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(BadQuery, match="textWeight"):
        understand(SearchRequest(text_weight=weight), "mara")


def test_a_cursor_serves_its_own_search_and_person_only() -> None:
    request = SearchRequest(text="sea")
    cursor = understand(request, "mara").cursor(24)
    assert understand(SearchRequest(text="sea", cursor=cursor), "mara").offset == 24
    assert understand(SearchRequest(text="sea", cursor=cursor, limit=7), "mara").offset == 24
    for other, person in (
        (SearchRequest(text="lake", cursor=cursor), "mara"),
        (SearchRequest(text="sea", cursor=cursor), "diego"),
    ):
        with pytest.raises(BadQuery, match="another search"):
            understand(other, person)


@given(st.text(max_size=60))
def test_no_made_up_cursor_harms(cursor: str) -> None:
    try:
        assert understand(SearchRequest(text="sea", cursor=cursor), "mara").offset >= 0
    except BadQuery as error:
        assert error.remedy


def test_usages_are_read_in_any_order() -> None:
    wanted = Usage(Channel.social, "DE", date(2027, 3, 1), date(2027, 3, 31))
    assert parse_usage("until=2027-03-31, territory=de,on=2027-03-01,channel=social") == wanted


@pytest.mark.parametrize(
    "text",
    ["social", "channel=pigeon", "territory=Germany", "on=soon", "until=2027-03-01", "colour=red", "on=2027-02-30"],
)
def test_a_usage_that_is_none_is_named(text: str) -> None:
    with pytest.raises(BadQuery):
        parse_usage(text)


@pytest.mark.parametrize(
    "filters",
    [
        Filters(orientation=("diagonal",)),
        Filters(keyword=("x",) * 1_001),
        Filters(created=CreatedRange("2027-01-01", "2026-01-01")),
        Filters(created=CreatedRange("soon", "")),
    ],
)
def test_filters_out_of_bounds_are_refused(filters: Filters) -> None:
    with pytest.raises(BadQuery):
        understand(SearchRequest(filters=filters), "mara")
