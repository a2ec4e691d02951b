"""The site of a run: pages that open from disk, and are served by `openmementos view`.

`site_folder.py` writes all of it into a folder: `all_shards.py` the pages of all traces, by `shard_pages.py`
where anything of a shard has changed; `overview.py` what the first page tells, `compare_pages.py` a second
run beside the first. A trace becomes a page in `trace_page.py`, and a row of the table in `trace_rows.py`;
which traces are shown says `listed_traces.py`. `pages.py` fills the templates in `templates/`; `assets/` has
the stylesheet and the scripts, each with one purpose: plain scripts, for a page from disk may load no module.

Text of traces is hostile. It comes to a page by `plain_text.py` (escaped, controls made visible),
`formulas.py` (LaTeX to MathML, every element checked) and `coloured_code.py` (Pygments), which
`rendered_text.py` puts together; nothing else marks anything as safe but `word_diff.py`, with what these have
escaped. A page's policy lets it load its own files alone, and no script in it.
"""

from pipeline.report.website.site_files import ReportError
from pipeline.report.website.site_folder import WrittenSite, compared_run, write_site

__all__ = ["ReportError", "WrittenSite", "compared_run", "write_site"]
