"""The page of results: whole in one file, safe whatever names say, and readable in a real browser."""

from __future__ import annotations

import ast
import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import wavenet_pl.evaluation
from tests.browser import Browser
from tests.shards.made import write_shard_set
from wavenet_pl.evaluation.baselines import Baselines
from wavenet_pl.evaluation.clips import Clip, Speed
from wavenet_pl.evaluation.context import ContextPoint, list_contexts
from wavenet_pl.evaluation.judges.likeness import Measure
from wavenet_pl.evaluation.judging import Judgement
from wavenet_pl.evaluation.report import render, write_report
from wavenet_pl.evaluation.results import Results, Subject
from wavenet_pl.evaluation.scoring import Score
from wavenet_pl.files.foreign import printable
from wavenet_pl.numbers.intervals import Interval
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.split import Split

HOSTILE = (
    "<script>alert(1)</script>",
    "x\" onload=\"alert(2)' onload='alert(3)",
    "\x1b[2Jred\u202edlog",
    "</style></title>&amp;",
    "{{ 7 * 7 }}{% raw %}ünï",
)
SOURCES = Path(wavenet_pl.evaluation.__file__).parent


def results(folder: Path, **more: object) -> Results:
    """Made numbers on real recordings; all names are hostile, of whatever it is."""
    shards = write_shard_set(folder / "set", train=1, val=10, speakers=HOSTILE, tags=HOSTILE)
    index = load_index(shards)
    shown = [
        replace(
            shard,
            recordings=tuple(
                replace(row, key=f"{HOSTILE[number % 5]} {row.key}")
                for number, row in enumerate(shard.recordings)
            ),
        )
        for shard in index.splits["val"]
    ]
    split = Split(shown, shard_storage(index, shards), index.sample_rate)
    subject = Subject(
        run=f"runs/{HOSTILE[0]}", data=HOSTILE[1], split=HOSTILE[2], seed=0, sample_rate=8_000, parameters=17_000,
        receptive_field=33, codes=f"65,536 linear codes {HOSTILE[0]}", comparable_codes=f"256 codes {HOSTILE[1]}",
        recordings=10, seconds=5.0,
    )  # fmt: skip
    voice = np.sin(np.arange(8_000) / 10).astype(np.float32) / 2
    points = [
        ContextPoint(
            context, Interval(3 + lost, 2.9 + 0.9 * lost, 3.1 + lost), Interval(lost, 0.8 * lost, 1.2 * lost)
        )
        for context in list_contexts(33)
        if (lost := max(2 / context - 2 / 33, 0)) >= 0
    ]
    found = Results(
        subject, split, {**index.labels.tables, HOSTILE[0]: HOSTILE, HOSTILE[1]: HOSTILE},
        baselines=Baselines(8.0, 7.2, 5.5, 1_000, 1_000),
        scores=[
            Score(
                n, split.key(n), int(split.frames[n]), 4.0 * split.frames[n] + n, 3.0 * split.frames[n],
                {HOSTILE[0]: (100, 50.0 + n), HOSTILE[1]: (100, 5.0 - n)},
            )
            for n in range(10)
        ],
        damaged=[HOSTILE[0]],
        context=points,
        clips=[
            Clip(HOSTILE[n], HOSTILE[n], voice, voice[:4_000], {"noise": HOSTILE[0]} if n else {}, {}) for n in range(2)
        ],
        speed=Speed(0.125, 2, 1, HOSTILE[0], HOSTILE[1], 0.5),
        judgements=[
            Judgement(
                f"Voices {HOSTILE[0]}",
                (
                    Measure(HOSTILE[1], Interval(0.625, 0.5, 0.75), Interval(0.875, 0, 1), Interval(0.375, 0, 1)),
                    Measure("a distance", Interval(1.125, -np.inf, np.inf), Interval(0.25, -np.inf, np.inf)),
                ),
                (f"beside {HOSTILE[0]}",),
            )
        ],
        complete=True,
    )  # fmt: skip
    for name, value in more.items():
        setattr(found, name, value)
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All of the page."""
    return render(results(tmp_path_factory.mktemp("page")))


class Tags(HTMLParser):
    """Names and attributes of all tags, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Keep it."""
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        """Keep it."""
        self.texts.append(data)


def test_names_are_text_and_nothing_else(page):
    tags = Tags(page).found
    assert "script" not in {name for name, _ in tags}
    known = {
        "alt", "aria-label", "charset", "class", "content", "controls", "d", "dy", "height", "href", "lang", "name",
        "points", "preload", "rel", "role", "scope", "src", "tabindex", "text-anchor", "viewbox", "x", "y",
    }  # fmt: skip
    assert {key for _, attributes in tags for key in attributes} <= known, "a name became an attribute"
    assert [name for name, _ in tags].count("style") == [name for name, _ in tags].count("title") == 1
    assert all(letter.isprintable() for letter in page.replace("\n", ""))


def test_every_name_can_be_read(page):
    text = "\n".join(Tags(page).texts)
    for name in HOSTILE:
        assert printable(name) in text, name
    for place in (
        "runs/{}, evaluated",
        "Clip 0: {}",
        "recorded: {}",
        "Voices {}",
        "By {}",
        "65,536 linear codes {}",
    ):
        assert place.format(HOSTILE[0]) in text, place
    assert f"may not use: {HOSTILE[1]}." in text


def headless(name: str, found: Results) -> str:
    """The page of a run with this name, without the clips, which take their time."""
    return render(
        replace(found, subject=replace(found.subject, run=name, split=name), clips=[], damaged=[name])
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """To be changed a little."""
    return results(tmp_path_factory.mktemp("made"))


@pytest.mark.slow
@given(name=st.text())
def test_any_name_is_one_text_and_leaves_the_page_as_it_is(made, name):
    page = Tags(headless(name, made))
    assert page.found == Tags(headless("plain", made)).found
    assert f"{printable(name)}, evaluated" in page.texts
    assert printable(name) in page.texts or not name, "the heading, and the line of what was left out"


def written(path: Path) -> Iterator[str]:
    """All that a source says in strings, f-strings as a whole; docstrings speak of code and do not count."""
    tree = ast.parse(path.read_text())
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def test_tags_are_written_in_templates_only_and_these_escape_everything():
    found = [
        f"{path.name}: {text}"
        for path in SOURCES.glob("*.py")
        for text in written(path)
        if re.search(r"</?[a-zA-Z!]", text)
    ]
    assert not found, f"HTML belongs in a template, where names are escaped: {found}"
    for path in (*SOURCES.glob("*.py"), *SOURCES.glob("*.j2")):
        assert not re.search(r"\|\s*safe\b|{%-?\s*autoescape|Markup\(|autoescape=False", path.read_text()), (
            path.name
        )


def test_it_is_whole_in_itself(page):
    sources = [
        value
        for _, attributes in Tags(page).found
        for key, value in attributes.items()
        if key in ("src", "href")
    ]
    assert len(sources) == 4 + 2 + 1, "four sounds, two pictures and an empty icon"
    assert all(source is not None and source.startswith("data:") for source in sources)
    assert "url(" not in page and "@import" not in page


def test_everything_has_a_name_for_those_who_cannot_see_it(page):
    tags = Tags(page).found
    assert all(attributes.get("alt") for name, attributes in tags if name == "img")
    assert all(attributes.get("aria-label") for name, attributes in tags if name in ("audio", "svg"))
    assert [attributes["lang"] for name, attributes in tags if name == "html"] == ["en"]


def test_numbers_are_on_it(page):
    for number in (
        "3.000",
        "5.500",
        "7.200",
        "0.125 times",
        "+2.500",
        "1 of 2",
        "65,536 linear",
        "2 clips",
        "1 thread.",
    ):
        assert number in page, number


def test_what_is_heard_stands_between_recordings_and_chance(page):
    assert "<td>0.625</td><td>0.500 to 0.750</td><td>0.875</td><td>0.375</td>" in page
    assert "<td>1.125</td><td>–</td><td>0.250</td><td>–</td>" in page
    assert "<p>Beside &lt;script&gt;alert(1)&lt;/script&gt;.</p>" in page


def test_what_was_not_reached_is_not_there_and_said(tmp_path):
    page = render(
        results(tmp_path, scores=[], context=[], clips=[], speed=None, baselines=None, complete=False)
    )
    assert "Stopped before its end" in page and "of 10 recordings" in page
    assert not {"audio", "svg", "dl"} & {name for name, _ in Tags(page).found}


def test_one_recording_has_no_interval(tmp_path):
    found = results(tmp_path, clips=[])
    found.scores = found.scores[:1]
    page = render(found)
    assert "<td>3.000</td><td>–</td>" in page and "inf" not in re.sub('data:[^"]*|information', "", page)


def test_an_input_without_a_wrong_value_is_not_said_to_be_unused(tmp_path):
    def page(*counts: int) -> str:
        extra = {name: (count, 0.5 * count) for name, count in zip(("speaker", "tags"), counts, strict=True)}
        found.scores = [replace(score, extra=extra) for score in found.scores]
        return render(found)

    found = results(tmp_path, clips=[])
    none, one, both = page(0, 0), page(0, 100), page(100, 100)
    assert "may not use" not in none + one + both and "nan" not in none
    assert "these recordings have only one, of: speaker, tags." in none and "makes a difference" not in none
    assert (
        "these recordings have only one, of: speaker." in one
        and "Every other input makes a difference" in one
    )
    assert "only one" not in both and "Every input makes a difference" in both
    assert '<th scope="row">speaker</th><td>–</td><td>–</td><td>–</td>' in one


def test_long_tables_end(tmp_path, monkeypatch):
    monkeypatch.setattr("wavenet_pl.evaluation.report._MOST_ROWS", 3)
    page = render(results(tmp_path, clips=[]))
    assert "7 more not shown" in page


def test_a_clip_sounds_as_loud_as_it_was_made(made):
    loud = replace(
        made, clips=[Clip("key", "", np.array([0.5, -1.0, 1.0], np.float32), np.zeros(0, np.float32), {}, {})]
    )
    [sound] = [attributes["src"] for name, attributes in Tags(render(loud)).found if name == "audio"]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound.split(",")[1])), dtype="int16")
    assert samples.tolist() == [16_384, -32_768, 32_767] and rate == 8_000


def test_a_clip_without_a_recording_stands_alone(made):
    alone = replace(made, clips=[replace(made.clips[0], recorded=np.zeros(0, np.float32))])
    tags = Tags(render(alone)).found
    assert len([name for name, _ in tags if name == "audio"]) == 1
    [alt] = [attributes["alt"] for name, attributes in tags if name == "img"]
    assert alt.endswith(": generated")


def test_groups_are_those_of_the_recordings(tmp_path):
    found = results(tmp_path)
    assert [group.name for group in found.by_name("speaker")] == sorted(HOSTILE)
    assert sum(group.samples for group in found.by_name("speaker")) == int(found.recordings.frames.sum())
    assert [group.recordings for group in found.by_name("tags")] == [2] * 5
    costs = [group.bits.mean for group in found.by_recording()]
    assert costs == sorted(costs, reverse=True)


def test_plain_numbers_are_json_without_infinities(tmp_path):
    plain = results(tmp_path).to_plain()
    read = json.loads(json.dumps(plain, allow_nan=False))
    assert read["overall"]["comparable_bits"][0] == pytest.approx(3.0)
    assert read["recordings"][0]["bits"][1:] == [None, None], "one recording has no interval"
    assert read["effective_receptive_field"] == 32
    [judgement] = read["judgements"]
    assert judgement["measures"][0]["generated"] == [0.625, 0.5, 0.75]
    assert judgement["measures"][1]["generated"] == [1.125, None, None]
    assert judgement["measures"][1]["chance"] is None and judgement["remarks"] == [f"beside {HOSTILE[0]}"]
    assert read["faults"]["noise"] == {"generated": 1, "recorded": 0}
    assert [clip["condition"] for clip in read["clips"]] == list(HOSTILE[:2])


LUMINANCES = """
(() => {
  const channel = value => (value /= 255, value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || node.closest('audio')) continue;
    const style = getComputedStyle(node);
    const ink = parse(node.closest('svg') ? style.fill : style.color);
    const pair = [light(ink), light(behind(node))].sort((a, b) => b - a);
    found.push([(pair[0] + 0.05) / (pair[1] + 0.05), node.tagName, walk.currentNode.data.slice(0, 30)]);
  }
  return found;
})()
"""
DURATIONS = """
Promise.all([...document.querySelectorAll('audio')].map(audio => new Promise((done, fail) => {
  if (audio.readyState >= 1) return done(audio.duration);
  audio.onloadedmetadata = () => done(audio.duration);
  audio.onerror = () => done(-1);
  audio.load();
})))
"""


@pytest.mark.slow
def test_a_real_browser_shows_it_in_both_schemes_and_on_a_phone(tmp_path):
    made = results(tmp_path)
    long = made.clips[0].condition + "long_name" * 9
    made.clips[0] = replace(made.clips[0], key=long, condition=long)
    made.subject = replace(made.subject, run=long)
    made.tables = {**made.tables, long: ("long_row" * 10,)}
    page = write_report(made, tmp_path)
    browser = Browser(tmp_path / "profile")
    try:
        browser.open(page)
        assert browser.run(DURATIONS) == [1.0, 0.5, 1.0, 0.5]
        broken = "[...document.images].filter(image => !(image.complete && image.naturalWidth)).length"
        assert browser.run(broken) == 0
        backgrounds = set()
        for scheme in ("light", "dark"):
            for width in (1200, 390):
                browser.show(scheme, width)
                contrasts = browser.run(LUMINANCES)
                assert len(contrasts) > 100
                assert not [found for found in contrasts if found[0] < 4.5], scheme
                assert browser.run("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
            backgrounds.add(browser.run("getComputedStyle(document.body).backgroundColor"))
        assert len(backgrounds) == 2, "the two schemes differ"
        assert browser.picture().startswith(b"\x89PNG")
        assert browser.complaints == []
    finally:
        browser.close()


def test_the_styles_say_each_colour_for_both_schemes(page):
    light, dark = re.findall(r":root \{([^}]*)\}", page)
    names = [re.findall(r"--([a-z]+):", block) for block in (light, dark)]
    assert names[0] == names[1]
