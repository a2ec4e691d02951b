"""Problems of benchmarks are found in a source, whatever the benchmark's layout, and listed."""

import json
from pathlib import Path

import fsspec
import polars as pl
import pytest

from pipeline.ingest import SourceError
from pipeline.ingest.benchmarks import Benchmarks
from pipeline.ingest.scan_files import scan_files
from pipeline.ingest.sources import find_files
from tests.ingest.workshop import Workshop, make_row

CANDLES = (
    "On each of $12$ evenings Mara lights one candle more than the evening before, beginning with $a$. Find "
    "the remainder when the number of candles that she lights on all evenings is divided by 1000."
)


def benchmark(folder: Path, name: str, column: str, problem: str = CANDLES) -> str:
    path = folder / name
    table = pl.DataFrame({"id": ["x", "y"], column: ["An unrelated problem about seven red hens.", problem]})
    write = {".csv": table.write_csv, ".parquet": table.write_parquet, ".jsonl": table.write_ndjson}
    write[path.suffix](path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("aime.jsonl", "problem"),
        ("aime24.parquet", "Problem"),
        ("math500.jsonl", "problem"),
        ("gpqa_diamond.csv", "Question"),
        ("livecodebench.jsonl", "question_content"),
    ],
)
def test_a_benchmark_is_read_in_its_own_layout(tmp_path: Path, name: str, column: str) -> None:
    found = Benchmarks([benchmark(tmp_path, name, column)], 13).match(f"Solve this.\n\n{CANDLES}")
    assert found is not None
    assert found.startswith(f"shares 13 words with {name}:2: on each of")


@pytest.mark.parametrize("name", ["gpqa.csv", "lcb.jsonl"])
def test_other_columns_of_a_benchmark_may_hold_anything(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [("A short question?", 1)] * 200 + [(CANDLES, "none given")]
    if name.endswith(".csv"):
        lines = ["minutes,Question", *(f'{other},"{problem}"' for problem, other in rows)]
    else:
        lines = [json.dumps({"minutes": other, "question": problem}) for problem, other in rows]
    path.write_text("\n".join(lines))
    found = Benchmarks([str(path)], 13).match(CANDLES)
    assert found is not None
    assert f"{name}:201" in found


@pytest.mark.parametrize(
    ("problem", "is_found"),
    [
        (CANDLES.upper().replace("$", " \\( "), True),
        (" ".join(CANDLES.split()[:13]), True),
        (" ".join(CANDLES.split()[:10]), False),
        ("A rectangle has sides of lengths 3 and 9; what is its area?", False),
    ],
)
def test_words_count_and_not_how_they_are_set(tmp_path: Path, problem: str, is_found: bool) -> None:
    found = Benchmarks([benchmark(tmp_path, "aime.csv", "problem")], 13).match(problem)
    assert (found is not None) == is_found


def test_a_short_benchmark_problem_is_found_as_a_whole(tmp_path: Path) -> None:
    short = benchmark(tmp_path, "short.csv", "problem", "What is the sum of all primes?")
    tiny = benchmark(tmp_path, "tiny.csv", "problem", "Compute $2+2$.")
    benchmarks = Benchmarks([short, tiny], 13)
    assert benchmarks.match("Tell me: what is the sum of all primes? Why?")
    assert not benchmarks.match("What is the sum of all odd primes?")
    assert benchmarks.match("compute 2 + 2")
    assert not benchmarks.match("Compute 2 + 2 and then 3 + 3.")


def test_a_phrase_of_many_benchmark_problems_is_no_problem(tmp_path: Path) -> None:
    phrase = "can be written as m/n where m and n are relatively prime positive integers; find m + n"
    path = tmp_path / "aime.jsonl"

    def benchmarks(problems: list[str]) -> Benchmarks:
        path.write_text("\n".join(json.dumps({"problem": problem}) for problem in problems))
        return Benchmarks([str(path)], 13)

    few = [f"The area of shape {name} {phrase}." for name in ("one", "two", "three")]
    another = f"The chance of rain {phrase}."
    assert benchmarks(few).match(another)
    assert benchmarks(few + few).match(another)
    many = benchmarks([*few, f"The length of line four {phrase}."])
    assert many.match(another) is None
    assert many.match(f"The length of line four {phrase}.")
    only = benchmarks([*few, phrase])
    assert only.match(another)
    assert only.match(f"The chance of rain is {phrase[18:]}") is None


def test_rows_in_a_benchmark_are_counted_and_listed_with_what_they_met(
    workshop: Workshop, tmp_path: Path
) -> None:
    path = benchmark(tmp_path, "aime.jsonl", "problem")
    workshop.jsonl("a.jsonl", [make_row(1), make_row(2, problem=CANDLES), make_row(3)])
    workshop.ingest(select={"decontaminate": [path]})
    assert len(workshop.slot()) == 2
    (rejected,) = workshop.rejected()
    assert (rejected["origin"], rejected["reason"]) == ("a.jsonl:2", "in_benchmark")
    assert "aime.jsonl:2" in rejected["detail"]


def test_a_benchmark_is_read_once_however_many_files_there_are(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = benchmark(tmp_path, "aime.jsonl", "problem")
    for n in range(3):
        workshop.jsonl(f"{n}.jsonl", [make_row(n), make_row(10 + n, problem=CANDLES)])
    opened: list[str] = []
    fsspec_open = fsspec.open

    def noting(name: str, *more: str) -> object:
        opened.append(name)
        return fsspec_open(name, *more)

    monkeypatch.setattr(fsspec, "open", noting)
    workshop.ingest(select={"decontaminate": [path]})
    assert opened.count(path) == 1
    assert workshop.reasons() == ["in_benchmark"] * 3


@pytest.mark.slow
def test_processes_look_for_the_same_benchmarks(workshop: Workshop, tmp_path: Path) -> None:
    benchmarks = Benchmarks([benchmark(tmp_path, "aime.jsonl", "problem")], 13)
    for n in range(3):
        workshop.jsonl(f"{n}.jsonl", [make_row(n), make_row(10 + n, problem=CANDLES)])
    due = [(file, tmp_path / f"facts-{file.name}") for file in find_files(workshop.config().source)]
    scan_files(due, workshop.config(), lambda rows: None, benchmarks, pays_after=0.0)
    verdicts = [pl.read_parquet(path)["verdict"].to_list() for _, path in due]
    assert verdicts == [["", "in_benchmark"]] * 3


def test_a_benchmark_that_has_changed_is_looked_for_again(workshop: Workshop, tmp_path: Path) -> None:
    path = benchmark(tmp_path, "aime.jsonl", "problem", "How many hens lay eggs on all seven days?")
    workshop.jsonl("a.jsonl", [make_row(1), make_row(2, problem=CANDLES)])
    workshop.ingest(select={"decontaminate": [path]})
    assert len(workshop.slot()) == 2
    benchmark(tmp_path, "aime.jsonl", "problem")
    workshop.ingest(select={"decontaminate": [path]})
    assert len(workshop.slot()) == 1


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("b.txt", "x", "none of .parquet"),
        ("b.jsonl", json.dumps({"answer": "4"}), "has the columns answer, and none of problem"),
        ("b.jsonl", "{broken", "cannot be read"),
        ("missing.csv", None, "cannot be read"),
    ],
)
def test_a_benchmark_that_cannot_be_read_stops_the_run(
    workshop: Workshop, tmp_path: Path, name: str, content: str | None, why: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    workshop.jsonl("a.jsonl", [make_row(1)])
    with pytest.raises(SourceError, match=r"select\.decontaminate") as error:
        workshop.ingest(select={"decontaminate": [str(path)]})
    assert why in str(error.value)


LEAKS = {
    "English": (
        "A tank holds eighty litres of water and loses three litres every hour while a pump adds five litres "
        "every hour; after how many hours does it hold one hundred and twenty litres?",
        "Think step by step and solve this. {}",
        "{} Write down every step of it.",
        ("eighty litres", "ninety litres"),
        "A tank holds eighty litres of oil, and a ship brings one hundred and twenty litres of water.",
    ),
    "Chinese": (
        "水箱里有八十升水，每小时漏掉三升，同时水泵每小时加入五升，请问经过多少小时之后水箱里一共有一百二十升水？",
        "请一步一步思考并解答：{}",
        "{}写出每一步的过程。",
        ("八十升", "九十升"),
        "水箱里有八十升油，一艘船每天运来一百二十升水，请问现在应该怎么办才好呢？",
    ),
    "Japanese": (
        "水槽に八十リットルの水があり、毎時三リットルずつ漏れ、ポンプが毎時五リットルずつ加える。何時間後に百二十リットルになるか。",
        "順を追って次の問題を解きなさい。{}",
        "{}途中の式もすべて書くこと。",
        ("八十リットル", "九十リットル"),
        "水槽に八十リットルの油があり、船が毎日百二十リットルの水を運んでくる。",
    ),
    "Thai": (
        "ถังใบหนึ่งมีน้ำแปดสิบลิตรและรั่วออกชั่วโมงละสามลิตรขณะที่ปั๊มเติมน้ำชั่วโมงละห้าลิตรจงหาว่ากี่ชั่วโมงจึงจะมีน้ำหนึ่งร้อยยี่สิบลิตร",
        "จงคิดทีละขั้นแล้วตอบ {}",
        "{} แสดงวิธีทำ",
        ("แปดสิบลิตร", "เก้าสิบลิตร"),
        "ถังใบหนึ่งมีน้ำมันแปดสิบลิตรและเรือลำหนึ่งบรรทุกน้ำมาทุกวัน",
    ),
}


@pytest.mark.parametrize(("problem", "before", "behind", "change", "other"), LEAKS.values(), ids=LEAKS)
def test_the_same_leak_is_found_in_every_script(
    tmp_path: Path, problem: str, before: str, behind: str, change: tuple[str, str], other: str
) -> None:
    known = Benchmarks([benchmark(tmp_path, "made.jsonl", "problem", problem)], 13)
    leaked = [problem, before.format(problem), behind.format(problem), problem.replace(*change)]
    assert [known.match(text) is not None for text in (*leaked, other)] == [True] * 4 + [False]


def test_wide_and_narrow_characters_are_the_same_and_the_detail_is_readable(tmp_path: Path) -> None:
    problem = "有１２个红球和３５个白球放在一个盒子里，每次取出两个，取出的两个球颜色不同的概率是多少？"
    known = Benchmarks([benchmark(tmp_path, "made.jsonl", "problem", problem)], 13)
    found = known.match("解答。" + problem.replace("１２", "12").replace("３５", "35"))
    assert found is not None
    assert found.endswith("有 12 个 红 球 和 35 个 白 球 放 在 一 个 盒 子 里 每 次 取 出 两 个 取")
    only_signs = known.match(problem[12:])
    assert only_signs is not None
    assert only_signs.startswith("shares 26 characters with made.jsonl:2: 放在一个盒子里")
