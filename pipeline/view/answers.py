"""Which request gets which answer; everything that is not named here is refused."""

from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from aiohttp import web

from pipeline.config_file import ConfigError
from pipeline.files.atomic import WriteError
from pipeline.files.damage import DamageError
from pipeline.inspection import NotThere
from pipeline.run.store import RunFolder, StoreError
from pipeline.view.address import own_hosts
from pipeline.view.guard import check_host, check_same_origin
from pipeline.view.headers import harden
from pipeline.view.run_status import status_answer
from pipeline.view.site_files import file_answer
from pipeline.view.verdict_form import new_verdict_answer, verdicts_answer

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_FORM = "/verdicts"
_READS = ("GET", "HEAD")


def answers(run: RunFolder, site: Path, port: int) -> Answer:
    """What answers every request: pages of `site`, and how the run stands, its verdicts and a new one.

    port: where it is served, which the requests have to name. A refusal is plain text that says why.
    """
    hosts = own_hosts(port)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            check_host(request, hosts)
            answered = await _answered(request, run, site, hosts)
        except web.HTTPMethodNotAllowed as refused:
            answered = _plain(refused.status, f"{request.method}: not here")
            answered.headers["Allow"] = ", ".join(sorted(refused.allowed_methods))
        except web.HTTPException as refused:
            answered = _plain(refused.status, refused.text or refused.reason)
        except NotThere as refused:
            answered = _plain(404, str(refused))
        except (ConfigError, DamageError, StoreError, WriteError) as error:
            answered = _plain(500, str(error))
        harden(answered)
        return answered

    return answer


async def _answered(
    request: web.BaseRequest, run: RunFolder, site: Path, hosts: Collection[str]
) -> web.StreamResponse:
    path = request.path
    if path == _FORM:
        _check_method(request, ("POST",))
        check_same_origin(request, hosts)
        return await new_verdict_answer(run, request)
    _check_method(request, _READS)
    if path == "/status.json":
        return await status_answer(run)
    if path.startswith(f"{_FORM}/"):
        return await verdicts_answer(run, path.removeprefix(f"{_FORM}/"))
    return await file_answer(site, path)


def _check_method(request: web.BaseRequest, allowed: Collection[str]) -> None:
    if request.method not in allowed:
        raise web.HTTPMethodNotAllowed(request.method, allowed)


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")
