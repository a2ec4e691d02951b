"""Responses judged once they are kept: in other processes, each judgement in a table of its own."""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.evaluate import judging
from pipeline.evaluate.generations import Kept, Key
from pipeline.evaluate.judging import NO_ANSWER, Judgement, check_judges
from pipeline.evaluate.problems import AnswerKind, Problem
from pipeline.evaluate.responses import parts_of
from pipeline.files.atomic import value_digest, writing
from pipeline.files.sealed_lines import SealedLines

FAILED = "judge failed"
# Answers of these kinds are compared in no time, and by nothing that could end a process.
_JUDGED_HERE: frozenset[AnswerKind] = frozenset({"words", "choice"})
# With the judges at once, so that the death of one concerns few.
_MOST_PENDING = 16
_SECONDS_BETWEEN_LOOKS = 10.0
_MOST_CHARACTERS = 160


@contextmanager
def judges(kinds: Collection[AnswerKind]) -> Iterator["Judges"]:
    """Judges for these kinds of answers. Raises EvaluateError where one cannot work here."""
    check_judges(kinds)
    found = Judges(in_processes=not _JUDGED_HERE.issuperset(kinds))
    try:
        yield found
    finally:
        found.close()


class Judges:
    """Judge answers; in processes of their own, several at once, where that takes long or may go wrong."""

    def __init__(self, *, in_processes: bool) -> None:
        # Not threads: math-verify ends what takes too long by signals, which only a main thread gets.
        self._pool = _pool() if in_processes else None

    def submit(self, problem: Problem, answer: str) -> Future[Judgement]:
        """Begins to judge an answer; `result` says what came of it."""
        if self._pool is None:
            future: Future[Judgement] = Future()
            future.set_result(_judged(problem, answer))
            return future
        try:
            return self._pool.submit(_judged, problem, answer)
        except BrokenProcessPool:
            self._pool = _pool()
            return self._pool.submit(_judged, problem, answer)

    def result(self, future: Future[Judgement], problem: Problem, answer: str) -> Judgement:
        """What came of `submit`; FAILED with the reason where the judge raised, or its process has died."""
        try:
            return future.result()
        except BrokenProcessPool:
            # One answer has ended a process, and with it the work at all others: each alone tells which.
            with _pool(1) as alone:
                try:
                    return alone.submit(_judged, problem, answer).result()
                except BrokenProcessPool:
                    return Judgement(None, f"{FAILED}: its process died")

    def close(self) -> None:
        """Ends the processes, and what has not begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _pool(workers: int | None = None) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def _judged(problem: Problem, answer: str) -> Judgement:
    # Here, not where the result is awaited: not every exception can be sent to another process.
    try:
        return judging.judgement(problem, answer)
    except (Exception, SystemExit) as error:
        first = str(error).strip().partition("\n")[0][:_MOST_CHARACTERS]
        return Judgement(None, f"{FAILED}: {type(error).__name__}{first and f': {first}'}")


def has_failed(fault: str) -> bool:
    """Whether a fault is the judge's own, not the answer's."""
    return fault.startswith(FAILED)


class Judgements:
    """What the responses of one part were judged, in a file that grows; used as a context.

    digest: of the part. again: judges also what was judged before, by the same judge. A response is judged
    anew where the judge's version, the expected answer or what is read of the response is another one; where
    the judge fails it is judged the next time, since that is kept nowhere. Raises WriteError.

    found: what was known or has been judged; new: how many of them have been judged now.
    """

    def __init__(self, run: Path, digest: str, judges: Judges, *, again: bool) -> None:
        self._path = run / "judgements" / f"{digest}.jsonl"
        self._judges = judges
        self._again = again
        self._known: dict[tuple[Key, str], Judgement] = {}
        self._waiting: deque[tuple[Kept, Problem, str]] = deque()
        self._pending: dict[Future[Judgement], tuple[Kept, Problem, str]] = {}
        self.found: dict[Key, Judgement] = {}
        self.new = 0

    def __enter__(self) -> Self:
        with writing(self._path):
            self._lines = SealedLines(self._path, self._take, lost="their responses are judged again")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()

    def judge(self, kept: Kept, problem: Problem) -> None:
        """Finds the judgement of a response, or has it judged; waits for nothing."""
        answer = parts_of(kept.response, is_ended=kept.is_ended).answer
        if kept.fault or answer is None:
            self.found[kept.key] = Judgement(None, kept.fault or NO_ANSWER)
        elif not self._again and (known := self._known.get((kept.key, _judge(problem, answer)))):
            self.found[kept.key] = known
        else:
            self._waiting.append((kept, problem, answer))
            self._collect(0)

    def finish(self, look: Callable[[], None]) -> None:
        """Waits until all is judged; calls `look` now and then."""
        while self._pending or self._waiting:
            self._collect(_SECONDS_BETWEEN_LOOKS)
            look()

    def _collect(self, seconds: float) -> None:
        """Keeps what has been judged, after so long a wait for the first; hands out what waits."""
        done, _ = wait(self._pending, seconds, return_when=FIRST_COMPLETED)
        for future in done:
            kept, problem, answer = self._pending.pop(future)
            judgement = self._judges.result(future, problem, answer)
            self.found[kept.key] = judgement
            self.new += 1
            place = (kept.key, _judge(problem, answer))
            if not has_failed(judgement.fault) and self._known.get(place) != judgement:
                self._keep(place, judgement)
        while self._waiting and len(self._pending) < _MOST_PENDING:
            asked = self._waiting.popleft()
            self._pending[self._judges.submit(*asked[1:])] = asked

    def _keep(self, place: tuple[Key, str], judgement: Judgement) -> None:
        (question, sample), judge = place
        fields = {"question": question, "sample": sample, "judge": judge}
        with writing(self._path):
            self._lines.append({**fields, "said": judgement.said, "fault": judgement.fault})
        self._known[place] = judgement

    def _take(self, fields: dict[str, Any]) -> None:
        place = ((fields["question"], fields["sample"]), fields["judge"])
        self._known[place] = Judgement(fields["said"], fields["fault"])


def _judge(problem: Problem, answer: str) -> str:
    """Digest of all that a judgement depends on: the code, the kind, what is expected, what was answered."""
    return value_digest([judging.VERSION, problem.digest, answer])[:16]
