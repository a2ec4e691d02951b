"""The site of a run: pages that open from disk, and are served by `openmementos view`.

`site_folder.py` writes all of it into a folder: `shard_pages.py` the pages of a shard's traces where anything
has changed, `overview.py` what the first page tells. A trace becomes a page in `trace_page.py`, and a row of
the table in `trace_rows.py`; which traces are shown says `listed_traces.py`. `pages.py` fills the templates
in `templates/`; `assets/` has the stylesheet and the scripts, each with one purpose.

Text of traces is hostile. It comes to a page by `plain_text.py` (escaped, controls made visible),
`formulas.py` (LaTeX to MathML, every element checked) and `code.py` (Pygments), which `rendered_text.py`
puts together; nothing else marks anything as safe but `word_diff.py`, with what these have escaped. A page's
policy lets it load its own files alone, and no script in it.
"""

from pipeline.report.site.site_folder import WrittenSite, write_site

__all__ = ["WrittenSite", "write_site"]
