"""Requests that a page of the report did not make are turned away: other names of this machine, other sites.

A page from anywhere can send requests to loopback. Where its site's name is made to lead to loopback (DNS
rebinding), it could read the answers, too, but not hide the name: Host tells it. A form of another site can
post, but neither JSON nor without its Origin.
"""

from collections.abc import Collection

from aiohttp import web


def check_host(request: web.BaseRequest, hosts: Collection[str]) -> None:
    """Raises HTTPMisdirectedRequest where the request is not addressed to one of these hosts, by name."""
    named = request.headers.getall("Host", [])
    if len(named) != 1 or named[0].lower() not in hosts:
        asked = ", ".join(named) or "nobody"
        raise web.HTTPMisdirectedRequest(
            text=f"Host: {asked}; this server answers as {' or '.join(sorted(hosts))} only"
        )


def check_same_origin(request: web.BaseRequest, hosts: Collection[str]) -> None:
    """Raises HTTPForbidden where a page of another origin may have made a request that writes."""
    if request.content_type != "application/json":
        raise web.HTTPForbidden(text=f"Content-Type: {request.content_type}; send application/json")
    origins = {f"http://{host}" for host in hosts}
    for origin in request.headers.getall("Origin", []):
        if origin.lower() not in origins:
            raise web.HTTPForbidden(text=f"Origin: {origin}; only pages of this server can write")
    for site in request.headers.getall("Sec-Fetch-Site", []):
        if site.lower() != "same-origin":
            raise web.HTTPForbidden(text=f"Sec-Fetch-Site: {site}; only pages of this server can write")
