import json
import re
import shutil
from contextlib import suppress

import pytest

from pipeline.files.damage import DamageError
from pipeline.report.website import ReportError, write_site
from pipeline.report.website.all_shards import write_shards
from pipeline.report.website.listed_traces import listed_traces
from pipeline.report.website.pages import Site
from pipeline.report.website.shard_pages import ShardPages
from pipeline.report.website.site_folder import MENU
from pipeline.report.website.trace_rows import FIELDS
from pipeline.run.effort import read_effort
from pipeline.run.store import RunFolder
from tests.report.website.runs import multiplied, sample_run, small_run


def write(run, build, folder=None, **options):
    return write_site(run, build, folder or run.report, lambda done, total: None, **options)


def rows_of(folder) -> list[dict]:
    scripts = sorted(folder.glob("traces/*/rows.js"))
    found = (re.fullmatch(r"addTraces\((\[.*?\]), (\[.*\])\);\n", one.read_text(), re.S) for one in scripts)
    return [dict(zip(json.loads(one[1]), row, strict=True)) for one in found for row in json.loads(one[2])]


def stamps(folder, pattern="traces/*/*.html") -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob(pattern)}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return sample_run(tmp_path_factory.mktemp("sample") / "run")


def test_every_trace_has_a_row_and_a_page_whatever_became_of_it(tmp_path):
    run, build = small_run(tmp_path / "run")
    site = write(run, build)
    rows = {row["state"]: row for row in rows_of(run.report)}
    assert set(rows) == {"done", "failed", "rejected"}
    assert site.traces == 3
    assert all((run.report / row["path"]).is_file() for row in rows.values())
    assert (rows["done"]["lowest"], rows["done"]["rounds"], rows["done"]["blocks"]) == (8, 2, 3)
    assert rows["rejected"]["outcome"] == "rejected: cut before </think>"


def test_a_failed_trace_shows_what_the_model_answered(tmp_path):
    run, build = small_run(tmp_path / "run")
    write(run, build)
    (failed,) = [row for row in rows_of(run.report) if row["state"] == "failed"]
    page = (run.report / failed["path"]).read_text()
    assert "not JSON in each of 2 replies" in page
    assert "{half" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_a_page_has_blocks_scores_with_their_reasons_mementos_rounds_and_rubric(tmp_path):
    run, build = small_run(tmp_path / "run")
    write(run, build)
    (done,) = [row for row in rows_of(run.report) if row["state"] == "done"]
    page = (run.report / done["path"]).read_text()
    (record,) = run.read("records", 0).to_pylist()
    for score, reason in zip(record["boundary_scores"], record["boundary_reasons"], strict=True):
        assert f"{score:.1f} <i>{reason}</i>" in page
    assert page.count('class="block') == 3
    assert "values <b>1/2</b>" in page
    assert "<b>missing</b> the 13" in page
    assert "<del>" in page
    assert "<ins>" in page
    assert "␛[31mNo red here." in page


def test_what_has_not_changed_is_not_written_again(tmp_path):
    run, build = small_run(tmp_path / "run")
    assert write(run, build).written == 3
    before = stamps(run.report, "**/*.*")
    assert write(run, build).written == 0
    assert stamps(run.report, "**/*.*") == before


def test_only_shards_that_have_changed_are_written_again(sample, tmp_path):
    source, build = sample
    run = multiplied(source, tmp_path / "run", shards=3, times=1)
    write(run, build)
    before = stamps(run.report)
    other = multiplied(source, tmp_path / "other", shards=3, times=2)
    for path in other.root.glob("*/*00001.*"):
        shutil.copy(path, run.root / path.relative_to(other.root))
    write(run, build)
    changed = {name.split("/")[1] for name, stamp in stamps(run.report).items() if before.get(name) != stamp}
    # The first of shard 1 is still the same, and so is what shard 0 leads to; its last is another.
    assert changed == {"00001", "00002"}
    assert len(rows_of(run.report)) == 4 * source.read_manifest("ingest", 0).rows_in


def test_pages_of_shards_that_are_gone_go_too(sample, tmp_path):
    source, build = sample
    run = multiplied(source, tmp_path / "run", shards=3, times=1)
    write(run, build)
    run.remove_shards_from(2, ["ingest", "split", "score", "partition", "mementos", "records"])
    write(run, build)
    assert sorted(path.name for path in (run.report / "traces").iterdir()) == ["00000", "00001"]


def test_a_site_that_was_begun_has_no_first_page_and_is_finished_by_the_next(sample, tmp_path):
    source, build = sample
    run = multiplied(source, tmp_path / "run", shards=2, times=1)

    def killed(done: int, total: int) -> None:
        if done == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_site(run, build, run.report, killed)
    assert not (run.report / "index.html").exists()
    site = write(run, build)
    assert site.written < site.traces
    assert [path.name for path in run.report.glob("**/.*")] == [".report-lock"]
    assert {row["path"] for row in rows_of(run.report)} == {
        str(path.relative_to(run.report)) for path in run.report.glob("traces/*/*.html")
    }


def test_of_more_traces_than_wanted_some_of_every_shard_are_shown_and_said(sample, tmp_path):
    source, build = sample
    run = multiplied(source, tmp_path / "run", shards=4, times=5)
    few = build.model_copy(update={"report": build.report.model_copy(update={"max_traces": 60})})
    site = write(run, few)
    assert 56 <= site.traces <= 60
    assert {row["path"].split("/")[1] for row in rows_of(run.report)} == {"00000", "00001", "00002", "00003"}
    assert "evenly chosen" in (run.report / "traces.html").read_text()


def test_neighbours_lead_through_all_traces_and_back(sample, tmp_path):
    source, build = sample
    run = multiplied(source, tmp_path / "run", shards=3, times=1)
    write(run, build)
    paths = [row["path"] for row in rows_of(run.report)]
    links = {"next": [], "prev": []}
    for path in paths:
        page = (run.report / path).read_text()
        for rel, found in links.items():
            link = re.search(rf'rel="{rel}" href="\.\./\.\./([^"]+)"', page)
            found.append(link and link[1])
    assert links["next"] == [*paths[1:], None]
    assert links["prev"] == [None, *paths[:-1]]


def test_processes_write_the_same_pages(sample, tmp_path):
    source, build = sample
    run = multiplied(source, tmp_path / "run", shards=4, times=1)
    listed = listed_traces(run, range(4), 1_000)
    site = Site("sample", "now", MENU)
    told: list[tuple[int, int]] = []
    written = []
    for name, pays_after in (("alone", 1e9), ("together", 0.0)):
        pages = ShardPages(run, build, tmp_path / name, site, {}, {}, "code")
        written.append(
            write_shards(pages, listed, lambda *so_far: told.append(so_far), pays_after=pays_after)
        )
    assert written[0] == written[1]
    total = sum(len(shard.traces) for shard in listed)
    assert told.count((total, total)) == 2
    alone, together = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).glob("**/*.*")}
        for name in ("alone", "together")
    )
    assert len(alone) == total + 2 * 4
    assert alone == together


def test_two_runs_stand_side_by_side_where_both_have_a_trace(sample, tmp_path):
    run, build = sample
    other, _ = sample_run(tmp_path / "other", partition={"min_tokens": 500})
    folder = tmp_path / "site"
    write(run, build, folder, other=other)
    pages = sorted((folder / "compare").glob("*/*.html"))
    assert len(pages) == run.read("ingest", 0).num_rows + run.read("ingest", 1).num_rows
    assert any("✂ cut by" in page.read_text() for page in pages)
    compared = re.findall(
        r'href="\.\./\.\./(compare/[^"]+)"', (folder / rows_of(folder)[0]["path"]).read_text()
    )
    assert (folder / compared[0]).is_file()
    # What is written again keeps it, until it is told not to.
    before = stamps(folder, "**/*.html")
    write(run, build, folder)
    assert stamps(folder, "**/*.html") == before
    write(run, build, folder, compare=False)
    assert not (folder / "compare").exists()
    assert "No second run" in (folder / "compare.html").read_text()


def test_a_comparison_outlasts_a_writer_that_is_killed(sample, tmp_path):
    run, build = sample
    other, _ = sample_run(tmp_path / "other", partition={"min_tokens": 500})
    folder = tmp_path / "site"

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_site(run, build, folder, killed, other=other)
    write(run, build, folder)
    assert "A is <b>sample</b>, B is" in (folder / "compare.html").read_text()
    assert list((folder / "compare").glob("*/*.html"))


def test_a_comparison_is_written_again_where_the_other_run_has_changed(sample, tmp_path):
    run, build = sample
    source, _ = sample_run(tmp_path / "source", partition={"min_tokens": 500})
    other = shutil.copytree(source.root, tmp_path / "other")
    folder = tmp_path / "site"
    write(run, build, folder, other=RunFolder(other))
    before = (folder / "compare.html").read_bytes()
    shutil.rmtree(other)
    larger, _ = sample_run(tmp_path / "larger", partition={"min_tokens": 900})
    larger.root.rename(other)
    write(run, build, folder)
    assert (folder / "compare.html").read_bytes() != before
    shutil.rmtree(other)
    write(run, build, folder)
    assert "No second run" in (folder / "compare.html").read_text()


def test_nothing_tells_where_the_builder_keeps_things(sample, tmp_path):
    run, build = sample
    other, _ = sample_run(tmp_path / "other", partition={"min_tokens": 500})
    secret = build.model_copy(
        update={
            "llm": build.llm.model_copy(update={"model": "/home/me/models/mine", "api_key_env": "MY_KEY"})
        }
    )
    write(run, secret, tmp_path / "site", other=other)
    pages = [path for path in (tmp_path / "site").rglob("*") if path.suffix in (".html", ".js", ".json")]
    for told in (str(run.root), str(other.root), "/home/me", "MY_KEY", build.llm.endpoints[0], "data/sample"):
        assert [str(page) for page in pages if told in page.read_text()] == [], told
    assert "mine" in (tmp_path / "site/index.html").read_text()


@pytest.mark.parametrize(
    "name", ["index.html", "traces/mine/source.jsonl", "compare/notes.txt", "x/.state.tmp"]
)
def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path, name):
    run, build = small_run(tmp_path / "run")
    mine = tmp_path / "folder" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ReportError, match=r"move them away and run the command again, or elsewhere$"):
        write(run, build, tmp_path / "folder", otherwise=", or elsewhere")
    assert [path for path in (tmp_path / "folder").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("pages", [None, -1, 0, 15])
def test_a_copy_without_its_hidden_files_is_known_as_a_report_however_far_it_was(
    sample, tmp_path, monkeypatch, pages
):
    """pages: after how many of them the writing ended; None: at its end; -1: after what all pages share."""
    run, build = sample
    folder = tmp_path / "site"
    listed = listed_traces

    def list_traces(*arguments):
        return killed(0, 0) if pages == -1 and not (tmp_path / "copy").exists() else listed(*arguments)

    monkeypatch.setattr("pipeline.report.website.site_folder.listed_traces", list_traces)

    def killed(done: int, total: int) -> None:
        if pages is not None and done >= pages:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        write_site(run, build, folder, killed)
    copy = shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns(".*"))
    assert write(run, build, copy).index.exists()


def test_what_a_killed_writer_has_left_of_a_report_is_removed_before_the_next(sample, tmp_path):
    run, build = sample
    folder = tmp_path / "site"
    write(run, build, folder)
    for name in (".compare.1.tmp", "traces/.00000.1.tmp", "compare/00000/.x.tmp"):
        (folder / name).mkdir(parents=True)
        (folder / name / "half.html").write_text("half")
    write(run, build, folder)
    assert [path.name for path in folder.rglob(".*")] == [".report-lock"]


def test_what_an_older_config_left_counts_nowhere(sample, tmp_path):
    run, build = sample
    copied = RunFolder(shutil.copytree(run.root, tmp_path / "run"))
    other, _ = sample_run(tmp_path / "other", partition={"min_tokens": 500})
    shutil.copytree(other.root / "partition", copied.root / "partition", dirs_exist_ok=True)
    write(copied, build, tmp_path / "site")
    assert {row["state"] for row in rows_of(tmp_path / "site")} == {"unfinished", "rejected"}
    page = (tmp_path / "site/index.html").read_text()
    assert "<dt>published</dt><dd>0" in page
    assert "By domain" not in page
    assert "points by round" not in page


def test_prices_are_told_as_soon_as_they_are_known(sample, tmp_path):
    run, build = sample
    write(run, build, tmp_path / "site")
    priced = build.llm.model_copy(
        update={"price_per_million_prompt_tokens": 1e6, "price_per_million_completion_tokens": 0.0}
    )
    write(run, build.model_copy(update={"llm": priced}), tmp_path / "site")
    page = (tmp_path / "site/index.html").read_text()
    efforts = [one for shard in (0, 1) for one in read_effort(run, shard).values()]
    assert f"{max(one.prompt_tokens for one in efforts):,.4f}</td>" in page


def test_of_small_shards_as_many_traces_are_shown_as_of_large_ones(tmp_path):
    run, build = sample_run(tmp_path / "run", traces_per_shard=1)
    few = build.model_copy(update={"report": build.report.model_copy(update={"max_traces": 9})})
    assert write(run, few).traces == 9


def test_a_run_without_traces_has_pages_that_say_so(tmp_path):
    run, build = small_run(tmp_path / "run")
    shutil.rmtree(run.root / "ingest")
    site = write(run, build)
    assert site.traces == 0
    assert site.index.exists()


def test_damaged_verdicts_are_told_of_in_a_line_and_left_as_they_are(tmp_path, caplog):
    """A build on a schedule ends with its report, which nobody watches."""
    run, build = small_run(tmp_path / "run")
    write(run, build)
    run.verdicts.write_bytes(b"PAR1 and no more")
    assert write(run, build).index.exists()
    (line,) = caplog.messages
    assert line.startswith(f"the report is without verdicts: {run.verdicts}: damaged (")
    assert "put a copy in its place" in line
    assert run.verdicts.read_bytes() == b"PAR1 and no more"


def test_a_damaged_shard_is_named(tmp_path):
    run, build = small_run(tmp_path / "run")
    run.shard("mementos", 0).write_bytes(b"PAR1")
    with pytest.raises(DamageError, match="mementos"):
        write(run, build)


def test_rows_have_the_fields_that_the_script_reads(tmp_path):
    run, build = small_run(tmp_path / "run")
    write(run, build)
    script = (run.report / "assets/traces.js").read_text()
    for name in set(re.findall(r"\brow\.(\w+)", script)) - {"searched"}:
        assert name in FIELDS
