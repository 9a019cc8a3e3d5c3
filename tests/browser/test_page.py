"""The page as a person uses it: ask, narrow, look, play, copy, switch; by mouse, by keyboard, on a phone."""

import re

import pytest
from playwright.sync_api import Page, expect

from api.demo import LIBRARY
from tests.browser.conftest import Open

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def first_title(page: Page) -> str:
    return page.locator(".card-title").first.inner_text()


def ask(page: Page, words: str) -> None:
    page.fill("#query", words)
    page.press("#query", "Enter")
    expect(page.locator(".results-head h1")).to_have_text(words)


def test_a_person_is_picked_and_asks(open_page: Open) -> None:
    page = open_page(user=None)
    expect(page.locator(".person-card")).to_have_count(6)
    page.click("text=Mara Lindqvist")
    page.wait_for_selector(".card")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("cosy evening with a glass of red")
    expect(page.locator(".results-head h1")).to_have_text("cosy evening with a glass of red")
    assert first_title(page) == "Wine bottle and djembe in room"
    expect(page.locator("#announcer")).to_have_text(re.compile(r"\d+ results"))


def test_another_person_sees_something_else(open_page: Open) -> None:
    page = open_page("mara")
    before = page.locator(".results-head .muted").inner_text()
    page.click(".person-button")
    page.click(".menu-item:has-text('Tomasz')")
    expect(page.locator(".person-name")).to_have_text("Tomasz Zielinski")
    expect(page.locator(".results-head .muted")).not_to_have_text(before)


def test_a_use_is_named_and_answered(open_page: Open) -> None:
    page = open_page("mara")
    page.click(".use-button")
    page.click(".choice:has-text('Social')")
    page.fill("#use-territory", "Germany")
    page.press("#use-territory", "Tab")
    page.select_option("#use-when", "period")
    page.fill("input[name=on]", "2027-03-01")
    page.fill("input[name=until]", "2027-03-31")
    page.click("text=Done")
    expect(page.locator(".use-button")).to_have_text("Social · Germany · March 2027")
    expect(page.locator(".not-cleared")).to_be_visible()
    expect(page.locator(".label.blocked")).to_have_count(0)
    page.click("text=Show them")
    expect(page.locator(".label.blocked").first).to_be_visible()
    page.locator(".card:has(.label.blocked) .card-open").first.click()
    expect(page.locator(".verdict.blocked li").first).not_to_be_empty()
    expect(page.locator(".actions .primary")).to_be_disabled()


def test_the_address_holds_the_question(open_page: Open) -> None:
    page = open_page("mara", "/?q=coffee&type=video")
    expect(page.locator("#query")).to_have_value("coffee")
    expect(page.locator(".chip")).to_have_text("Video")
    page.click(".card-open >> nth=0")
    page.wait_for_selector("dialog[open]")
    assert "asset=" in page.url
    page.go_back()
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.reload()
    expect(page.locator("#query")).to_have_value("coffee")


def test_filters_narrow_and_are_dropped(open_page: Open) -> None:
    page = open_page("mara")
    page.click(".facet-value:has-text('Video')")
    expect(page.locator(".results-head .muted")).to_have_text("4 assets")
    page.click(".chip .chip-remove")
    expect(page.locator(".results-head .muted")).not_to_have_text("4 assets")


def test_a_picture_is_dropped_in(open_page: Open) -> None:
    page = open_page("mara")
    page.set_input_files("loupe-search-box input[type=file]", LIBRARY / "photos/scarlet-macaw.jpg")
    expect(page.locator(".results-head h1")).to_have_text("Like your image")
    assert "macaw" in first_title(page).lower()
    page.click(".box-chips .chip-remove")
    expect(page.locator(".results-head h1")).to_have_text("Newest in the library")


def test_words_and_picture_are_weighed(open_page: Open) -> None:
    page = open_page("mara", "/?q=orchestra&similarTo=espresso-cup")
    expect(page.locator("loupe-balance")).to_be_visible()
    page.focus("loupe-balance input")
    page.keyboard.press("Home")
    expect(page).to_have_url(re.compile("textWeight=1"))
    expect(page.locator(".card-title").first).to_have_text("Symphony orchestra playing on stage")
    page.keyboard.press("End")
    expect(page).to_have_url(re.compile("textWeight=0"))
    expect(page.locator(".card-title").first).to_have_text("Espresso cup close crop")
    page.reload()
    expect(page.locator("loupe-balance input")).to_have_value("100")
    page.click(".box-chips .chip-remove")
    expect(page.locator("loupe-balance")).to_be_hidden()
    assert "textWeight" not in page.url


def test_a_file_that_is_no_picture_is_refused_kindly(open_page: Open) -> None:
    page = open_page("mara")
    page.set_input_files("loupe-search-box input[type=file]", LIBRARY / "manifest.jsonl")
    expect(page.locator(".notice")).to_contain_text("not an image")


def test_more_like_this(open_page: Open) -> None:
    page = open_page("mara", "/?q=espresso")
    page.locator(".card").first.hover()
    page.locator(".card .similar").first.click()
    expect(page.locator(".box-chips .box-chip")).to_have_text("More like this")


def test_a_moment_is_jumped_to(open_page: Open) -> None:
    page = open_page("mara", "/?q=finish+of+a+cup+of+coffee+after+you+swallow&type=video")
    page.locator(".jump").first.click()
    page.wait_for_selector("dialog[open] video")
    page.wait_for_function("document.querySelector('video').currentTime > 1")
    expect(page.locator(".transcript .here")).to_have_count(1)
    page.locator(".moment").last.click()
    page.wait_for_function("document.querySelector('video').currentTime > 20")


def test_the_credit_line_is_copied(open_page: Open) -> None:
    page = open_page("mara", "/?asset=colosseum-rome", permissions=["clipboard-read", "clipboard-write"])
    line = page.locator(".credit-line").inner_text()
    page.click(".credit button")
    expect(page.locator(".credit button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == line


def test_the_original_is_downloaded(open_page: Open) -> None:
    page = open_page("mara", "/?asset=espresso-cup")
    with page.expect_download() as download:
        page.click("text=Download original")
    assert download.value.path().read_bytes() == (LIBRARY / "photos/espresso-cup.jpg").read_bytes()


def test_by_keyboard_alone(open_page: Open) -> None:
    page = open_page("mara")
    page.locator("body").press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("bird")
    page.keyboard.press("Enter")
    expect(page.locator(".results-head h1")).to_have_text("bird")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".card-open").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card-open").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".detail-top .muted")).to_have_text(re.compile(r"^3 of"))
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_a_hidden_asset_s_address_shows_no_more_than_a_wrong_one(open_page: Open) -> None:
    shown = []
    for asset in ("quarterly-results-call", "there-is-none"):
        page = open_page("tomasz", f"/?asset={asset}")
        expect(page.locator("dialog .notice")).to_contain_text("not available")
        shown.append(page.locator("dialog").inner_html())
    assert shown[0] == shown[1]


def test_nothing_found_offers_ways_on(open_page: Open) -> None:
    page = open_page("mara", '/?q="no such phrase anywhere"')
    expect(page.locator(".notice")).to_contain_text("Nothing here fits")
    page.click("text=Search without the quotation marks")
    page.wait_for_selector(".card")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(360, 640), (390, 844), (768, 1024), (1360, 900), (1920, 1080)])
def test_nothing_sticks_out(open_page: Open, scheme: str, size: tuple[int, int]) -> None:
    width, height = size
    page = open_page(
        "mara", "/?q=sea&channel=social&territory=DE", viewport={"width": width, "height": height}, color_scheme=scheme
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click(".card-open >> nth=0")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.querySelector('dialog').scrollWidth <= innerWidth")


def test_on_a_phone(open_page: Open) -> None:
    page = open_page("mara", "/?q=sea", **PHONE)
    page.click(".use-button")
    page.click(".choice:has-text('Social')")
    page.click("text=Done")
    expect(page.locator(".use-button")).to_have_text("Social")
    page.click(".open-facets")
    page.click(".facet-value:has-text('Images')")
    page.click(".show-results")
    expect(page.locator(".chip")).to_have_text("Images")
    page.click(".card-open >> nth=0")
    expect(page.locator("dialog .verdict")).to_be_visible()


def test_dark_and_light_can_be_chosen(open_page: Open) -> None:
    page = open_page("mara", color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.click("loupe-theme button")
    assert page.evaluate(paper) != light
    page.reload()
    page.wait_for_selector(".card")
    assert page.evaluate(paper) != light


def test_metadata_cannot_become_markup(open_page: Open) -> None:
    page = open_page("mara", "/?q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E")
    expect(page.locator(".results-head h1")).to_have_text("<img src=x onerror=alert(1)>")
    assert page.locator("h1 img").count() == 0


def test_when_the_server_is_gone_it_is_said_and_tried_again(open_page: Open) -> None:
    page = open_page("mara")
    page.route(
        "**/v1/search", lambda route: route.fulfill(status=500, json={"title": "internal", "detail": "It broke."})
    )
    page.fill("#query", "sea")
    page.press("#query", "Enter")
    expect(page.locator(".notice")).to_contain_text("It broke.")
    page.unroute("**/v1/search")
    page.click("text=Try again")
    page.wait_for_selector(".card")


def test_closing_an_asset_goes_back_to_where_one_was(open_page: Open) -> None:
    page = open_page("mara")
    page.keyboard.press("End")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator(".card")).not_to_have_count(36)
    count = page.locator(".card").count()
    chosen = page.locator(".card-open").nth(count - 4)
    chosen.click()
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(chosen).to_be_focused()
    assert page.locator(".card").count() >= count
    assert page.evaluate("scrollY") > 0


def test_back_goes_from_search_to_search(open_page: Open) -> None:
    page = open_page("mara")
    ask(page, "coffee")
    ask(page, "rocket")
    page.go_back()
    expect(page.locator(".results-head h1")).to_have_text("coffee")
    page.go_forward()
    expect(page.locator(".results-head h1")).to_have_text("rocket")


def test_matched_words_are_marked(open_page: Open) -> None:
    page = open_page("mara", "/?q=crust+spoon&type=video")
    expect(page.locator(".why mark").first).to_have_text(re.compile("crust|spoon", re.IGNORECASE))
    page.locator(".jump").first.click()
    expect(page.locator(".transcript mark").first).to_be_visible()


def test_the_keyboard_stays_in_the_drawer(open_page: Open) -> None:
    page = open_page("mara", "/?q=sea", **PHONE)
    page.click(".open-facets")
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('loupe-facets') !== null")
    page.keyboard.press("Escape")
    expect(page.locator(".open-facets")).to_be_focused()


def test_a_skip_link_leads_to_the_results(open_page: Open) -> None:
    page = open_page("mara", "/?q=sea")
    page.locator("a.skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".card-open").first).to_be_focused()
    assert "sea" in page.title()
