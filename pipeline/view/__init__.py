"""A run's report over HTTP on this machine alone, with a form for verdicts that is all that can write.

`address.py` binds to loopback, `guard.py` turns away requests that the report's own pages did not make,
`headers.py` says what a browser may do with an answer, `site_files.py`, `run_status.py` and `verdict_form.py`
answer, `answers.py` says which of them, `server.py` serves, `freshness.py` writes the report again while the
run goes on.
"""

from pipeline.view.address import PortError, listening, port_of, url_of
from pipeline.view.answers import answers
from pipeline.view.freshness import Freshness
from pipeline.view.server import serve_until_stopped, serving

__all__ = [
    "Freshness",
    "PortError",
    "answers",
    "listening",
    "port_of",
    "serve_until_stopped",
    "serving",
    "url_of",
]
