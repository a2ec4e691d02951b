"""The pages in a real browser, opened from disk as a reader does, and nothing goes wrong on the way."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from pipeline.report.website import write_site
from tests.browser import address, chromium, needs_chromium, settle, watched
from tests.report.website.runs import multiplied, sample_run, small_run

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def elsewhere(make, *arguments, **options):
    """What `make` gives, made in another thread: Playwright has an event loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(make, *arguments, **options).result()


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The site of the sample, beside a run of it with larger blocks."""
    folder = tmp_path_factory.mktemp("sample")
    run, build = elsewhere(sample_run, folder / "run")
    other, _ = elsewhere(sample_run, folder / "other", partition={"min_tokens": 500})
    return write_site(run, build, run.report, lambda done, total: None, other=other).index


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The site of ten thousand traces."""
    folder = tmp_path_factory.mktemp("many")
    source, build = elsewhere(sample_run, folder / "source")
    first = source.read_manifest("ingest", 0).rows_in
    run = multiplied(source, folder / "run", shards=50, times=200 // first + 1)
    site = write_site(run, build, run.report, lambda done, total: None)
    assert site.traces == 10_000
    return site


def open_trace(page, index) -> None:
    """Opens the first trace with formulas."""
    page.goto(address(index, "traces.html"))
    page.get_by_label("Domain").select_option("math")
    settle(page)
    page.locator("#traces tbody a").first.click()
    page.wait_for_selector(".block")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1300, 390], ids=["wide", "narrow"])
def test_every_kind_of_page_is_fit_for_all_readers(browser, sample, dark, width):
    compared = next(sample.parent.glob("compare/*/*.html")).relative_to(sample.parent)
    with watched(browser, dark=dark, width=width) as seen:
        for page in ("index.html", "traces.html", "compare.html", str(compared)):
            seen.page.goto(address(sample, page))
            assert seen.violations() == [], page
            assert not is_wider_than_the_window(seen.page), page
        open_trace(seen.page, sample)
        assert seen.violations() == []
        assert not is_wider_than_the_window(seen.page)
        assert seen.wrong == []


def is_wider_than_the_window(page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def test_formulas_are_drawn_as_formulas(browser, sample):
    with watched(browser) as seen:
        (page, *_) = (path for path in sample.parent.glob("traces/*/*.html") if "<mfrac" in path.read_text())
        seen.page.goto(page.as_uri())
        fraction = seen.page.locator("math mfrac").first
        above, below = fraction.evaluate(
            "it => [...it.children].map(part => part.getBoundingClientRect().toJSON())"
        )
        assert above["bottom"] <= below["top"] + 1
        assert above["height"] > 0
        assert seen.wrong == []


def test_the_table_is_searched_filtered_and_sorted_and_a_link_leads_back_to_it(browser, sample):
    with watched(browser) as seen:
        page = seen.page
        page.goto(address(sample, "traces.html"))
        rows = page.locator("#traces tbody tr")
        count = page.locator("#count")
        expect(count).to_have_text(re.compile(r"(\d+) of \1 traces"))
        page.get_by_label("Domain").select_option("code")
        expect(rows.first.locator("td").nth(1)).to_have_text("code")
        settle(page)
        assert set(page.locator("#traces tbody td:nth-child(2)").all_text_contents()) == {"code"}
        page.get_by_role("button", name="tokens", exact=True).click()
        page.get_by_role("button", name="tokens", exact=True).click()
        expect(page.locator("th[aria-sort=descending]")).to_have_text("tokens")
        settle(page)
        shown = [
            int(text.replace(",", ""))
            for text in page.locator("#traces tbody td:nth-child(4)").all_text_contents()
        ]
        assert shown == sorted(shown, reverse=True)
        page.reload()
        expect(page.get_by_label("Domain")).to_have_value("code")
        expect(rows).to_have_count(len(shown))
        page.get_by_role("button", name="Clear").click()
        expect(page.get_by_label("Domain")).to_have_value("")
        settle(page)
        first = page.locator("#traces tbody a").first.text_content()
        page.keyboard.press("/")
        page.keyboard.type(first)
        expect(rows).to_have_count(1)
        page.get_by_label("Search").fill("no trace has this in it")
        expect(rows).to_have_count(0)
        assert seen.wrong == []


def test_keys_go_through_the_readers_own_list_and_through_blocks(browser, sample):
    with watched(browser) as seen:
        page = seen.page
        page.goto(address(sample, "traces.html"))
        page.get_by_label("Domain").select_option("math")
        expect(page.locator("#traces tbody td:nth-child(2)").first).to_have_text("math")
        settle(page)
        ids = page.locator("#traces tbody a").all_text_contents()
        page.locator("#traces tbody a").first.click()
        expect(page.locator(".neighbours")).to_contain_text(f"1 of {len(ids)} in your list")
        page.keyboard.press("j")
        expect(page.locator("h1 code")).to_contain_text(ids[1])
        page.keyboard.press("k")
        expect(page.locator("h1 code")).to_contain_text(ids[0])
        page.keyboard.press("]")
        page.keyboard.press("]")
        assert page.evaluate("document.activeElement.id") == "block-1"
        assert page.url.endswith("#block-1")
        page.keyboard.press("[")
        assert page.evaluate("document.activeElement.id") == "block-0"
        flagged = page.locator(".block.is-flagged").evaluate_all("blocks => blocks.map(block => block.id)")
        page.keyboard.press("f")
        after = [name for name in flagged if name != "block-0"]
        assert page.evaluate("document.activeElement.id") == (after[0] if after else "block-0")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("t")
        expect(page.locator("h1")).to_have_text("Traces")
        assert seen.wrong == []


def test_the_readers_list_leads_past_the_ends_of_the_runs_own(browser, sample):
    with watched(browser) as seen:
        page = seen.page
        # The other way round, the run's first trace is the last of the list.
        page.goto(f"{address(sample, 'traces.html')}#sort=-id")
        expect(page.locator("th[aria-sort=descending]")).to_have_text("trace")
        expect(page.locator("#count")).to_have_text(re.compile(r"^(\d+) of \1 traces"))
        settle(page)
        links = page.locator("#traces tbody a")
        paths = [links.nth(at).get_attribute("href") for at in range(links.count())]
        first = next(sample.parent.glob("traces/00000/*.html")).parent / "rows.js"
        run_order = re.findall(r'"(traces/[^"]+\.html)"', first.read_text())
        page.locator(f"#traces a[href='{run_order[0]}']").click()
        at = paths.index(run_order[0])
        expect(page.locator(".neighbours")).to_contain_text(f"{at + 1} of {len(paths)} in your list")
        for rel, path in (("prev", paths[at - 1] if at else None), ("next", (paths[at + 1 :] or [None])[0])):
            link = page.locator(f".neighbours a[rel={rel}]")
            assert (link.get_attribute("href") if link.count() else None) == (path and f"../../{path}")
        assert seen.wrong == []


def test_an_address_that_changes_filters_the_table_that_is_open(browser, sample):
    with watched(browser) as seen:
        page = seen.page
        page.goto(address(sample, "traces.html"))
        page.locator("#traces tbody a").first.wait_for()
        page.evaluate("location.hash = 'domain=code&sort=tokens'")
        expect(page.get_by_label("Domain")).to_have_value("code")
        expect(page.locator("#traces tbody td:nth-child(2)").first).to_have_text("code")
        expect(page.locator("th[aria-sort=ascending]")).to_have_text("tokens")
        assert seen.wrong == []


def test_the_kv_cache_is_told_for_the_model_that_is_chosen(browser, sample):
    with watched(browser) as seen:
        open_trace(seen.page, sample)
        told = seen.page.locator("#kv figcaption [data-tokens]").first
        before = told.text_content()
        seen.page.get_by_label("model").select_option("Qwen3-32B")
        small, large = (float(re.sub(r"[^\d.]", "", text)) for text in (before, told.text_content()))
        assert large == pytest.approx(small * 64 / 36, rel=0.02)
        assert seen.wrong == []


def test_what_became_of_other_traces_is_told_with_the_models_answers(browser, tmp_path):
    run, build = elsewhere(small_run, tmp_path / "run")
    index = write_site(run, build, run.report, lambda done, total: None).index
    with watched(browser) as seen:
        page = seen.page
        page.goto(address(index, "traces.html"))
        page.get_by_label("Outcome").select_option("failed")
        expect(page.locator("#traces tbody tr")).to_have_count(1)
        page.locator("#traces tbody a").click()
        expect(page.locator("pre.reply").nth(1)).to_have_text("<img src=x onerror=alert(1)>")
        assert seen.violations() == []
        page.goto(address(index, "traces.html"))
        page.get_by_label("Outcome").select_option("rejected: cut before </think>")
        expect(page.locator("#traces tbody tr")).to_have_count(1)
        page.locator("#traces tbody a").click()
        expect(page.locator(".ending")).to_contain_text("cut before </think>")
        assert seen.wrong == []


def test_ten_thousand_traces_are_searched_and_sorted_at_once(browser, many):
    with watched(browser) as seen:
        page = seen.page
        page.goto(address(many.index))
        expect(page.locator("h1")).to_have_text("sample")
        page.goto(address(many.index, "traces.html"))
        total = f"{many.traces:,}"
        expect(page.locator("#count")).to_have_text(f"{total} of {total} traces")
        last = page.locator("#traces tbody a").last.get_attribute("href")
        page.get_by_role("button", name="next →").click()
        assert page.locator("#traces tbody a").first.get_attribute("href") != last
        began = time.monotonic()
        page.get_by_label("Search").fill("049")
        expect(page.locator("#count")).not_to_have_text(f"{total} of {total} traces")
        print(f"searched {total} rows in {time.monotonic() - began:.2f} s")
        page.get_by_role("button", name="compression").click()
        settle(page)
        page.locator("#traces tbody a").first.click()
        page.wait_for_selector(".block")
        page.keyboard.press("j")
        page.wait_for_selector(".block")
        assert seen.violations() == []
        assert seen.wrong == []
