"""The prompts: one template per file in `prompts/`, with its name and version in front."""

from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import jinja2
import yaml

from pipeline.files.atomic import value_digest
from pipeline.llm.model import Message

_FENCE = "---\n"


@dataclass(frozen=True)
class Template:
    """One prompt. `text` is Jinja; a value that it names and the caller does not give is an error."""

    name: str
    version: int
    text: str

    @property
    def label(self) -> str:
        """Name and version as they stand in manifests and the audit table, e.g. "judge@3"."""
        return f"{self.name}@{self.version}"

    @cached_property
    def _compiled(self) -> jinja2.Template:
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
        return environment.from_string(self.text)

    def render(self, **values: object) -> str:
        return self._compiled.render(**values)


@dataclass(frozen=True)
class Prompts:
    """All prompts of a build.

    Every request is the same system prompt, then problem and reasoning so far, then the question: requests
    about one trace share all but their end, which is what an engine's prefix cache pays for.
    """

    system: Template
    trace: Template
    questions: dict[str, Template]

    def messages(
        self, question: str, *, problem: str, reasoning: str, **values: object
    ) -> tuple[Message, ...]:
        """The chat that puts a question ("score", "compress", "judge", "refine") about some reasoning."""
        shown = self.trace.render(problem=problem, reasoning=reasoning)
        asked = self.questions[question].render(**values)
        return Message("system", self.system.text), Message("user", shown + asked)

    def unasked(self, *, problem: str, reasoning: str) -> tuple[Message, ...]:
        """The chat that shows some reasoning, with which its last message ends, and asks nothing."""
        shown = self.trace.render(problem=problem, reasoning=reasoning)
        return Message("system", self.system.text), Message("user", shown)

    def labels(self, *questions: str) -> list[str]:
        """Labels of the templates in these questions, e.g. ["system@1", "trace@1", "score@2"]."""
        return [t.label for t in self._used(*questions)]

    def digest(self, *questions: str) -> str:
        """Digest of every text in these questions; versions are for people, bytes for staleness."""
        return value_digest([[t.label, t.text] for t in self._used(*questions)])

    def _used(self, *questions: str) -> list[Template]:
        return [self.system, self.trace, *(self.questions[name] for name in questions)]


def load_prompts() -> Prompts:
    """The prompts that come with the project. Raises ValueError naming the file where one is malformed."""
    names = ("system", "trace", "score", "score_window", "compress", "judge", "refine")
    templates = {name: load_template(name) for name in names}
    questions = {name: templates[name] for name in names[2:]}
    return Prompts(templates["system"], templates["trace"], questions)


def load_template(name: str) -> Template:
    """The prompt of this name. Raises ValueError naming its file where it is malformed."""
    return _read(name, resources.files("prompts").joinpath(f"{name}.md").read_text(encoding="utf-8"))


def _read(name: str, text: str) -> Template:
    if not text.startswith(_FENCE) or text.count(_FENCE) < 2:
        raise ValueError(f"prompts/{name}.md: no front matter between two lines of ---")
    _, front, body = text.split(_FENCE, 2)
    fields = yaml.safe_load(front)
    if fields.get("name") != name or not isinstance(fields.get("version"), int):
        raise ValueError(f"prompts/{name}.md: the front matter needs name: {name} and a whole-number version")
    return Template(name, fields["version"], body.rstrip())
