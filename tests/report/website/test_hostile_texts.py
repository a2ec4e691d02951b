"""Texts that mean no good, in every place where the pages show a text: nothing runs, nothing breaks."""

import json

import pytest
from playwright.sync_api import expect

from pipeline.config import BuildConfig
from pipeline.files.sealed_json import write_sealed
from pipeline.ingest import ingest
from pipeline.report.website import write_site
from pipeline.run.outcomes import Done, Failed
from pipeline.run.store import RunFolder
from pipeline.stages.run_shard import run_stages
from tests.browser import address, chromium, needs_chromium, watched
from tests.commands.runs import RUBRIC, write_mementos
from tests.report.website.test_browser import elsewhere, is_wider_than_the_window

pytestmark = [pytest.mark.slow, needs_chromium]

RUNS = "window.ran = 1"
ATTACKS = (
    f"<script>{RUNS}</script>",
    f"</textarea></title></style></script><script>{RUNS}</script>",
    f"<img src=x onerror='{RUNS}'>",
    f"<svg onload='{RUNS}'><style>body {{ display: none }}</style></svg>",
    f'" onmouseover="{RUNS}" x="',
    f"' onfocus='{RUNS}' autofocus='",
    f'<a href="javascript:{RUNS}">click</a> [click](javascript:{RUNS})',
    f"\\(\\href{{javascript:{RUNS}}}{{x}}\\) \\(\\text{{</math><script>{RUNS}</script>}}\\)",
    f"$\\style{{background:url(javascript:{RUNS})}}{{x}}$ $\\frac{{1$ \\[ \\begin{{align}} x & \\[",
    f"```html\n<script>{RUNS}</script>\n```",
    f"`<script>{RUNS}</script>`",
    "<iframe src=//example.org></iframe><meta http-equiv=refresh content='0;url=//example.org'>",
    "<form action=//example.org><input name=q></form><base href=//example.org>",
    "{{ 7 * 7 }} {% raw %} ${7 * 7} <!-- --> ]]> </main></body>",
    "\u202e\u2066 reversed \u2069 \u200f \x1b[31m red \x1b]0;title\x07 \x00 \x7f \x9b31m \u2028 \u2029",
    "\\" + "{" * 3_000 + "$" + "{" * 3_000 + "$",
)
LONG_LINE = "x" * 1_000_000


def hostile_run(root):
    """Two traces whose every text is hostile, one done and one failed, and one that is cut short."""
    everything = "\n\n".join(ATTACKS)
    reasoning = f"{everything}\n\n{LONG_LINE}\n\nTherefore the answer is 13."

    def row(text, domain):
        talk = [{"from": "human", "value": everything}, {"from": "gpt", "value": text}]
        return {"difficulty": 3, "source": ATTACKS[2], "domain": domain, "conversations": talk}

    rows = [
        row(f"<think>{reasoning}</think>{everything}", ATTACKS[0]),
        row(f"<think>Another. {reasoning}</think>{everything}", ATTACKS[5]),
        row(f"<think>{reasoning}", ATTACKS[4]),
    ]
    root.mkdir(parents=True)
    source = root.parent / "<img src=x onerror=alert(1)>.jsonl"
    source.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    build = BuildConfig.model_validate(
        {
            "name": "hostile",
            "source": {"paths": [str(source)]},
            "select": {"max_tokens": 10_000_000, "max_looped": None},
            "score": {"detector": "cues"},
            "partition": {"min_tokens": 25, "max_tokens": 10_000_000},
        }
    )
    run = RunFolder(root)
    ingest(build, run, lambda done, total: None)
    run_stages(["split", "score", "partition"], 0, run, build, None)
    blocks = [len(row["block_ends"]) for row in run.read("partition", 0).to_pylist()]
    write_mementos(
        run,
        [
            Done({"mementos": [memento(number) for number in range(blocks[0])]}),
            Failed(f"{everything}: not JSON", [*ATTACKS, LONG_LINE]),
        ],
    )
    write_sealed(build.model_dump(mode="json"), run.config_file)
    return run, build


def memento(number):
    texts = [f"{ATTACKS[number % len(ATTACKS)]} {tail}" for tail in ("180", "181", "182")]
    rounds = [
        {
            "text": text,
            "tokens": 9,
            "score": 4,
            "rubric": RUBRIC,
            "missing": list(ATTACKS),
            "verdict_totals": [4],
        }
        | {"checks": ["number_not_in_block"]}
        for text in texts
    ]
    return {"text": texts[2], "tokens": 9, "score": 4, "best_round": 2, "rounds": rounds}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    run, build = elsewhere(hostile_run, tmp_path_factory.mktemp("hostile") / "run")
    return write_site(run, build, run.report, lambda done, total: None).index


def test_no_text_runs_loads_or_hides_anything(hostile):
    pages = ["index.html", "traces.html", "compare.html"]
    pages += [str(path.relative_to(hostile.parent)) for path in hostile.parent.glob("traces/*/*.html")]
    assert len(pages) == 6
    with chromium() as browser, watched(browser, width=800) as seen:
        for page in pages:
            seen.page.goto(address(hostile, page))
            seen.page.wait_for_selector("footer", state="visible")
            # What acts when somebody touches it, too.
            seen.page.evaluate(
                "for (const it of document.querySelectorAll('main *')) {"
                " it.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})); it.focus?.(); }"
            )
            assert seen.page.evaluate("window.ran") is None, page
            assert not is_wider_than_the_window(seen.page), page
            assert (
                seen.page.locator("main script, main iframe, main base, main meta, main style").count() == 0
            )
            assert seen.page.locator("main a[href*='javascript:' i]").count() == 0
            assert seen.wrong == [], page


def test_what_is_hostile_can_be_read_as_it_stands(hostile):
    with chromium() as browser, watched(browser) as seen:
        page = seen.page
        page.goto(address(hostile, "traces.html"))
        page.get_by_label("Outcome").select_option("failed")
        expect(page.locator("#traces tbody tr")).to_have_count(1)
        page.locator("#traces tbody a").click()
        problem = page.locator("main section .text").first.inner_text()
        for attack in ATTACKS[:7]:
            assert attack in problem or attack.strip("`") in problem
        assert "⟨U+202E⟩" in problem
        assert "␛[31m" in problem
        assert page.locator("pre.reply").count() == len(ATTACKS) + 1
        assert page.locator("pre.reply").last.evaluate("it => it.textContent.length") == len(LONG_LINE)
        assert seen.violations() == []
        assert seen.wrong == []
