"""Code → HTML with its words coloured by Pygments, whose classes the site's stylesheet knows."""

from functools import lru_cache

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from pipeline.report.website.plain_text import plain, visible

_LIGHT, _DARK = "default", "github-dark"
# Some lexers take the square of a line's length; what no person reads to its end is shown without colours.
_LONGEST = 10_000
_LONGEST_LINE = 300
# Those of Pygments' 600 languages that models write; the lexers of some others can be made to take minutes.
_LANGUAGES = frozenset(
    {"bash", "c", "c#", "c++", "cpp", "cs", "csharp", "css", "go", "haskell", "html", "java", "javascript"}
    | {"js", "json", "jsx", "julia", "kotlin", "latex", "lua", "matlab", "ocaml", "perl", "php", "py", "py3"}
    | {"python", "python3", "r", "rb", "rs", "ruby", "rust", "scala", "sh", "shell", "sql", "swift", "tex"}
    | {"toml", "ts", "tsx", "typescript", "xml", "yaml", "yml"}
)


def code_block(code: str, language: str) -> Markup:
    """A <pre> of the code, coloured where the language is known and the code is of a usual size."""
    lexer = _lexer(language.lower())
    if lexer is None or len(code) > _LONGEST or max(map(len, code.split("\n"))) > _LONGEST_LINE:
        return Markup('<pre class="code" tabindex="0"><code>{}</code></pre>').format(plain(code))
    coloured = highlight(visible(code), lexer, _FORMATTER)
    return Markup('<pre class="code" tabindex="0"><code>{}</code></pre>').format(
        Markup(coloured.rstrip("\n"))
    )


def stylesheet() -> str:
    """CSS of the classes, for light and dark pages."""
    light, dark = (
        HtmlFormatter(style=style).get_style_defs("pre.code")  # type: ignore[no-untyped-call]
        for style in (_LIGHT, _DARK)
    )
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


_FORMATTER: HtmlFormatter[str] = HtmlFormatter(nowrap=True)


@lru_cache(maxsize=100)
def _lexer(language: str) -> Lexer | None:
    try:
        known = language in _LANGUAGES
        return get_lexer_by_name(language, stripnl=False, ensurenl=False) if known else None
    except ClassNotFound:
        return None
