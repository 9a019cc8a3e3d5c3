"""Transcripts: every cue is in some passage, in order, at its time; markup, encodings and damage are dealt with."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.decode.messages import PageText
from indexer.transcripts import OVERLAP, WORDS, Cue, page_passages, passages, read_transcript
from search.errors import BrokenMedia, MediaTooLarge

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello <i>there</i>,\nfriend.\n\n2\n00:01:00,000 --> 00:01:02,000\nBye.\n"
VTT = (
    "WEBVTT\n\nNOTE a remark\n\n00:01.000 --> 00:02.500 align:start\n<v Ann>Hello there,\nfriend.</v>\n\n"
    "01:00.000 --> 01:02.000\nBye.\n"
)
SAID = [Cue("Hello there, friend.", 1.0, 2.5), Cue("Bye.", 60.0, 62.0)]


def read(tmp_path: Path, name: str, data: str | bytes) -> list[Cue]:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_transcript(path)


def test_srt_and_webvtt_say_the_same(tmp_path: Path) -> None:
    assert read(tmp_path, "a.srt", SRT) == SAID
    assert read(tmp_path, "a.vtt", VTT) == SAID


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    told = SRT.replace("there", "Zoë — déjà vu")
    assert read(tmp_path, "a.srt", told.encode(encoding))[0].text == "Hello Zoë — déjà vu, friend."


def test_windows_line_ends(tmp_path: Path) -> None:
    assert read(tmp_path, "a.srt", SRT.replace("\n", "\r\n")) == SAID


def test_plain_text_has_no_times(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", "One line.\n\nAnother.") == [Cue("One line."), Cue("Another.")]
    assert passages([Cue("One line."), Cue("Another.")])[0].start is None


def test_a_rolling_caption_is_said_once(tmp_path: Path) -> None:
    rolling = (
        "WEBVTT\n\n00:01.000 --> 00:02.000\none two three\n\n00:02.000 --> 00:03.000\none two three\nfour five six\n"
    )
    assert [cue.text for cue in read(tmp_path, "a.vtt", rolling)] == ["one two three", "four five six"]


@pytest.mark.parametrize("data", [b"WEBVTT\n\nno cue here", b"\x00\x01\x02", b"1\n99:99\nnonsense"])
def test_what_holds_no_cue_is_said_to_be_broken(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BrokenMedia, match=r"a\.vtt"):
        read(tmp_path, "a.vtt", data)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    with path.open("wb") as file:
        file.truncate(30_000_000)
    with pytest.raises(MediaTooLarge, match=r"a\.srt"):
        read_transcript(path)


texts = st.lists(st.integers(1, 90), min_size=1, max_size=25)


@given(texts)
def test_every_word_is_in_a_passage_at_its_time(sizes: list[int]) -> None:
    number = iter(range(10_000))
    cues = [
        Cue(" ".join(f"w{next(number)}" for _ in range(size)), float(10 * i), float(10 * i + 10))
        for i, size in enumerate(sizes)
    ]
    made = passages(cues)
    seen = [word for passage in made for word in passage.text.split()]
    assert list(dict.fromkeys(seen)) == [word for cue in cues for word in cue.text.split()]
    for passage in made:
        words = passage.text.split()
        assert len(words) <= WORDS + WORDS / 2
        spoken = [cue for cue in cues if set(words) & set(cue.text.split())]
        assert passage.start is not None
        assert passage.end is not None
        assert spoken[0].start <= passage.start < passage.end <= spoken[-1].end  # type: ignore[operator]
    for before, after in pairwise(made):
        assert len(set(before.text.split()) & set(after.text.split())) <= OVERLAP
        assert before.start < after.start  # type: ignore[operator]


def test_neighbours_overlap() -> None:
    cues = [Cue(f"word{i} and more to say", float(i), float(i + 1)) for i in range(40)]
    for before, after in pairwise(passages(cues)):
        assert set(before.text.split()) & set(after.text.split()) - {"and", "more", "to", "say"}


def test_pages_keep_their_number_and_mend_divided_words() -> None:
    made = page_passages(PageText(3, "The sustain-\nability report.\n\nA second paragraph."))
    assert [passage.page for passage in made] == [3] * len(made)
    assert "sustainability report" in made[0].text
    assert made[0].start is None
