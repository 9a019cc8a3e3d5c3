"""Understanding requests: quotes, bounds, usages and cursors."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.errors import BadQuery
from search.query import SearchRequest, parse_usage, understand
from search.types import Channel, CreatedRange, Filters, Usage


def test_quoted_words_become_phrases_and_stay_in_the_text() -> None:
    query = understand(SearchRequest(text='red "espresso cup"  on “oak wood”'), "mara")
    assert query.phrases == ("espresso cup", "oak wood")
    assert query.text == "red espresso cup on oak wood"


@given(st.text(max_size=300))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        query = understand(SearchRequest(text=text), "mara")
    except BadQuery:
        return
    assert query.text == " ".join(query.text.split())
    assert "\x00" not in query.text


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
        Filters(keyword=("x",) * 1000),
        Filters(created=CreatedRange("2027-01-01", "2026-01-01")),
        Filters(created=CreatedRange("soon", "")),
    ],
)
def test_filters_out_of_bounds_are_refused(filters: Filters) -> None:
    with pytest.raises(BadQuery):
        understand(SearchRequest(filters=filters), "mara")
