"""Declared benchmarks: where their problems lie, and what kind of answer they want."""

from dataclasses import dataclass

from pipeline.evaluate.problems import AnswerKind


@dataclass(frozen=True)
class Benchmark:
    """Rows of a data set as problems.

    path: a Hub data set, or a file's address; problem, answer: names of columns; identity: that of an id,
    the row's number where it is empty; group: that of what accuracy is told by besides; judge: the dotted
    name of the function that says which answers are right, where the kind is `function`.
    """

    path: str
    kind: AnswerKind
    split: str = "train"
    config: str | None = None
    problem: str = "problem"
    answer: str = "answer"
    identity: str = ""
    group: str = ""
    judge: str = ""


BENCHMARKS = {
    "aime24": Benchmark("HuggingFaceH4/aime_2024", "math", identity="id"),
    "aime25": Benchmark("MathArena/aime_2025", "math", identity="problem_idx"),
    "aime26": Benchmark("MathArena/aime_2026", "math", identity="problem_idx"),
    "hmmt25": Benchmark("MathArena/hmmt_feb_2025", "math", identity="problem_idx"),
    "hmmt26": Benchmark("MathArena/hmmt_feb_2026", "math", identity="problem_idx"),
    "math500": Benchmark(
        "HuggingFaceH4/MATH-500", "math", split="test", identity="unique_id", group="subject"
    ),
    "gpqa-diamond": Benchmark(
        "Idavidrein/gpqa",
        "choice",
        config="gpqa_diamond",
        problem="Question",
        answer="Correct Answer",
        identity="Record ID",
        group="High-level domain",
    ),
    "livecodebench": Benchmark(
        "hf://datasets/livecodebench/code_generation_lite/test6.jsonl",
        "code",
        problem="question_content",
        answer="",
        identity="question_id",
        group="difficulty",
    ),
}
