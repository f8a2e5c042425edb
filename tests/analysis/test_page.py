"""The page of an analysis: whole in one file, safe whatever names say, and readable in a real browser."""

from __future__ import annotations

import pytest
import torch

from tests.browser import Browser
from tests.evaluation.test_report import HOSTILE, Tags
from tests.shards.made import write_shard_set
from tests.small import small_config
from wavenet_pl.analysis.options import AnalysisOptions
from wavenet_pl.analysis.page import PAGE_NAME, render
from wavenet_pl.analysis.study import Study
from wavenet_pl.files.foreign import printable
from wavenet_pl.model import Model


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("page")
    shards = write_shard_set(folder / "set", train=1, val=6)
    torch.manual_seed(0)
    model = Model(small_config(shards), sample_rate=8_000).eval()
    options = AnalysisOptions(threads=1, quick=True)
    study = Study(model, options, HOSTILE[0], folder / "probes")
    for probe in study.probes:
        study.measure(probe)
    return study


@pytest.fixture(scope="module")
def page(study: Study) -> str:
    return render(study)


def test_claims_verdicts_criteria_and_captions_are_on_it(study, page):
    text = "\n".join(Tags(page).texts)
    for verdict in study.verdicts:
        assert verdict.claim.quote in text and verdict.claim.criterion in text
    figures = [figure for probe in study.probes for figure in probe.figures(study.numbers[probe.name])]
    assert len(figures) >= 15 and all(figure.caption in text for figure in figures)
    captions = " ".join(figure.caption for figure in figures)
    assert all(f"{verdict.conclusion}" in captions for verdict in study.verdicts), (
        "what follows is under its figure"
    )
    assert not any(figure.caption.startswith("The same") for figure in figures), "none needs another one"
    assert "A quick analysis" in text and printable(HOSTILE[0]) in text
    assert "script" not in {name for name, _ in Tags(page).found}


def test_what_is_not_there_is_said(study, tmp_path):
    whole = study.numbers
    try:
        study.numbers = {name: whole[name] for name in ("sines",)}
        study.missing = {"bias": "the recordings are too short"}
        text = "\n".join(Tags(render(study)).texts)
        assert "Stopped before its end" in text
        assert "What goes down the residual path: the recordings are too short." in text
    finally:
        study.numbers, study.missing = whole, {}


@pytest.mark.slow
def test_it_opens_in_a_browser_in_both_schemes_and_on_a_phone(page, tmp_path):
    browser = Browser(tmp_path / "profile")
    try:
        (tmp_path / PAGE_NAME).write_text(page)
        browser.open(tmp_path / PAGE_NAME)
        broken = "[...document.images].filter(image => !(image.complete && image.naturalWidth)).length"
        assert browser.run("document.images.length") >= 12 and browser.run(broken) == 0
        backgrounds = set()
        for scheme in ("light", "dark"):
            for width in (1200, 390):
                browser.show(scheme, width)
                assert browser.run("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
            backgrounds.add(browser.run("getComputedStyle(document.body).backgroundColor"))
        assert len(backgrounds) == 2
        assert browser.complaints == []
    finally:
        browser.close()
