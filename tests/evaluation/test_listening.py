"""The page to listen: the same recordings for all systems, and a player, keys and a blind test in a real browser."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.browser import Browser
from tests.evaluation.test_report import LUMINANCES
from tests.shards.made import write_shard_set
from tests.small import small_config
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.listen_page import render, write_page
from wavenet_pl.evaluation.listening import Session, systems_of
from wavenet_pl.evaluation.options import ListeningOptions
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.model import Model
from wavenet_pl.shards.index import load_index

RATE = 8_000
MEL = Mel.default(RATE)
OPTIONS = ListeningOptions(count=3, seconds=0.5, prompt_seconds=0.1, temperatures=(1.0, 0.5), threads=1)
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("set"), train=1, val=4, frames=(4_000, 2_500, 6_000), frames_beside=(MEL,),
        tables={"lang": ("en", "fr")},
    )  # fmt: skip


def small(shards: Path, *settings: str) -> Model:
    return Model(small_config(shards, *settings), sample_rate=RATE, labels=load_index(shards).labels).eval()


def vocoder(shards: Path) -> Model:
    return small(shards, "model.kind=speaker", "model.condition.inputs=[mel]")


def made(models: list[tuple[str, Model]], options: ListeningOptions = OPTIONS) -> Session:
    session = Session(models, options)
    for system in session.systems:
        told: list[float] = []
        session.make(system, told.append)
        assert told == sorted(told)
    return session


def test_systems_are_named_by_what_they_differ_in(shards):
    one, other = small(shards), small(shards)

    def names(models: list[tuple[str, Model]], **options: object) -> list[str]:
        return [system.name for system in systems_of(models, ListeningOptions(**options))]  # type: ignore[arg-type]

    assert names([("run", one)]) == ["temperature 1"]
    assert names([("run", one), ("other", other)]) == ["run", "other"]
    assert names([("run", one)], engines=("reference", "fused-cpu"), temperatures=(0.5, 1)) == [
        "temperature 0.5, reference", "temperature 0.5, fused-cpu", "temperature 1, reference",
        "temperature 1, fused-cpu",
    ]  # fmt: skip
    with pytest.raises(UserError, match="temperature 1 is there more than once"):
        names([("run", one)], temperatures=(1, 1.0))
    other.sample_rate = 16_000
    with pytest.raises(UserError, match="the sample rates are run 8000, other 16000, expected one"):
        names([("run", one), ("other", other)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "split is 'dev', expected one of train, val, test"),
        ({"count": 0}, "count is 0, expected 1 to 200"),
        ({"seconds": 100.0}, "seconds is 100, expected more than 0 and up to 60"),
        ({"prompt_seconds": 4.0}, "prompt_seconds is 4, expected from 0 to less than seconds=4"),
        ({"temperatures": (1.0, -1.0)}, "temperature is -1.0, expected a number from 0"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        ListeningOptions(**options).check()


def test_all_systems_make_the_same_recordings_and_begin_like_them(shards):
    result = made([("plain", small(shards)), ("told", vocoder(shards))]).result
    assert result.systems == [
        "plain, temperature 1", "plain, temperature 0.5", "told, temperature 1", "told, temperature 0.5",
    ]  # fmt: skip
    assert result.complete and len(result.items) == 3 and len({item.key for item in result.items}) == 3
    for item in result.items:
        plain, _, told, colder = item.takes
        length = len(item.recorded.audio)
        assert len(plain.audio) == 4_000 and len(told.audio) == len(colder.audio) == length
        codes = small(shards).encode(item.recorded.audio[:800])
        np.testing.assert_array_equal(small(shards).encode(plain.audio[:800]), codes)
        assert not np.array_equal(told.audio[:800], plain.audio[:800]), "it has no prompt"
        assert not np.array_equal(told.audio, colder.audio)
    assert [bool(result.measures[name]) for name in result.systems] == [False, False, True, True]


def test_a_recording_that_one_model_cannot_be_given_is_on_no_line_of_the_page(tmp_path, caplog):
    shards = write_shard_set(
        tmp_path, train=1, val=4, frames=4_000, frames_beside=(MEL,), recordings_per_shard=1
    )
    options = replace(OPTIONS, temperatures=(1.0,))
    models = [("plain", small(shards)), ("told", vocoder(shards))]
    keys = [item.key for item in made(models, options).result.items]
    [damaged] = [shard for shard in load_index(shards).splits["val"] if shard.recordings[0].key == keys[0]]
    [frames] = [span for name, span in damaged.recordings[0].members.items() if name.endswith("npy")]
    content = bytearray((shards / damaged.name).read_bytes())
    content[frames.offset + frames.size - 100 : frames.offset + frames.size] = bytes(range(100))
    (shards / damaged.name).write_bytes(content)
    for order in (models, models[::-1]):
        result = made(order, options).result
        assert len(result.items) == 3 and keys[0] not in {item.key for item in result.items}
        for item in result.items:
            plain, told = item.takes if order is models else item.takes[::-1]
            assert len(told.audio) == len(item.recorded.audio) == 4_000
            codes = models[0][1].encode(item.recorded.audio[:800])
            np.testing.assert_array_equal(models[0][1].encode(plain.audio[:800]), codes, "it goes on from it")
    assert f"no clip stands beside {keys[0]}: " in caplog.text


def test_what_was_stopped_is_a_page_of_what_is_finished(shards):
    session = Session([("run", small(shards))], OPTIONS)
    session.make(session.systems[0])
    assert not session.result.complete
    page = render(session.result)
    assert "Stopped before its end" in page and page.count("<audio") == 2 * 3


def test_names_are_text_and_nothing_else(shards):
    result = made([("run", small(shards))]).result
    result.items[0].key = result.systems[0] = result.items[0].takes[0].facts[:] = HOSTILE  # type: ignore[assignment]
    result.items[0].takes[0].facts = [HOSTILE]
    page = render(result)
    assert HOSTILE not in page and "&lt;/script&gt;" in page
    assert page.count("</script>") == 1 and 'src="http' not in page and "url(http" not in page


KEYS = {" ": "Space", "ArrowRight": "ArrowRight", "ArrowDown": "ArrowDown"}


@pytest.mark.slow
def test_a_real_browser_plays_switches_asks_and_saves(shards, tmp_path):
    result = made([("told", vocoder(shards))]).result
    page = write_page(result, tmp_path / "listen.html")
    browser = Browser(tmp_path / "profile")
    renamed = {f"{name} {'run_of_a_long_name_' * 5}": measures for name, measures in result.measures.items()}
    items = [replace(item, key="long_key" * 10) for item in result.items]
    long_names = replace(result, systems=[*renamed], measures=renamed, items=items)

    def press(key: str) -> None:
        """A real key, so that the browser knows that somebody is there."""
        facts = {"key": key, "code": KEYS.get(key, f"Digit{key}"), "text": key if len(key) == 1 else ""}
        browser("Input.dispatchKeyEvent", type="keyDown", **facts)
        browser("Input.dispatchKeyEvent", type="keyUp", **facts)

    try:
        browser.open(write_page(long_names, tmp_path / "long.html"))
        for width in (1200, 390):
            browser.show("light", width)
            assert browser.run("document.documentElement.scrollWidth") <= width, "long names make it scroll"
        browser.open(page)
        for scheme in ("light", "dark"):
            for width in (1200, 390):
                browser.show(scheme, width)
                assert browser.run("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
                contrasts = browser.run(LUMINANCES)
                assert len(contrasts) > 50 and not [each for each in contrasts if each[0] < 4.5], scheme
            (tmp_path / f"{scheme}.png").write_bytes(browser.picture())
        # What is drawn is there: the picture is neither empty nor one colour.
        colours = """new Set([...items[0].canvas.getContext('2d').getImageData(0, 0, 300, 100).data]).size"""
        assert browser.run(colours) > 20
        # Keys: play, switch in place, another recording.
        press(" ")
        assert browser.run("new Promise(done => setTimeout(() => done(!items[0].sound.paused), 50))")
        press("2")
        assert browser.run("[items[0].current, items[0].sounds[0].paused, items[0].sounds[1].paused]") == [
            1,
            True,
            False,
        ]
        press(" ")
        browser.run("items[0].seek(0.2)")
        press("3")
        assert browser.run("[items[0].current, items[0].sound.paused]") == [2, True]
        assert browser.run("Math.abs(items[0].sound.currentTime - 0.2) < 0.02"), "the place is kept"
        press("ArrowRight")
        assert browser.run("Math.abs(items[0].sound.currentTime - 0.4) < 0.02")
        press("ArrowDown")
        assert browser.run("[items.indexOf(active), document.activeElement === items[1].article]") == [
            1,
            True,
        ]
        pressed = "items[0].buttons.map(one => one.getAttribute('aria-pressed'))"
        assert browser.run(pressed) == ["false", "false", "true"]
        # The blind test: both have to be heard, answers are kept by name, and saved.
        browser.run("document.querySelector('#blind-setup').requestSubmit()")
        assert browser.run("getComputedStyle(document.querySelector('#items')).display") == "none"
        browser.run("document.querySelector('[data-answer=A]').click()")
        assert "play both first" in browser.run("document.querySelector('#blind-progress').textContent")
        for answer in ("A", "same", "B"):
            for which in (0, 1):
                browser.run(f"document.querySelector('[data-hear=\"{which}\"]').click()")
            browser.run(f"document.querySelector('[data-answer={answer}]').click()")
        assert browser.run("document.querySelector('#blind-trial').hidden")
        text = browser.run("fetch(document.querySelector('#blind-save').href).then(answer => answer.text())")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert {row["recording"] for row in rows} == {item.key for item in result.items}
        for row, better in zip(rows, ("a", "", "b"), strict=True):
            assert {row["a"], row["b"]} == set(result.systems)
            assert row["better"] == (row[better] if better else "")
        assert browser.complaints == []
    finally:
        browser.close()


@pytest.mark.slow
def test_without_a_script_there_is_a_player_for_each_clip(shards):
    page = render(made([("run", small(shards))]).result)
    assert page.count("<audio controls") == 3 * 3
    assert len(re.findall(r'class="scripted" hidden|class="scripted"[^>]* hidden', page)) == 2
