"""A local Hub over real HTTP: what publishing and reading a dataset ask of the real one; it fails on order.

In a test: `with Hub() as hub:` and HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET=1, HF_TOKEN=hub.token.
"""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import yaml
from aiohttp import web

from tests.servers import hub_views
from tests.servers.background import Background
from tests.servers.hub_store import LARGE_SUFFIXES, Blob, Commit, HubError, Repo

JsonObject = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PAGE = 100


@dataclass
class Fault:
    """What a request whose "METHOD path" contains `on` gets instead of its answer, `times` times.

    after: requests that match and are let through first. status 0: the connection is dropped in the middle of
    the request's body. done: the request is carried out all the same, and its answer lost.
    """

    on: str
    status: int = 503
    times: int = 1
    after: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "on order"
    done: bool = False


@dataclass
class Hub(Background):
    """The server. tokens: token to (user, role); `seen`: "METHOD path" of every request."""

    tokens: dict[str, tuple[str, str]] = field(
        default_factory=lambda: {"hf_maker_secret": ("maker", "write")}
    )
    organisations: tuple[str, ...] = ("org",)
    faults: list[Fault] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.seen: list[str] = []
        self.uploaded_bytes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return next(iter(self.tokens))

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to have this as its Hub."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": self.token}

    def dataset(self, name: str) -> Repo:
        return self.repos["dataset", name]

    def files(self, name: str, revision: str = "main", kind: str = "dataset") -> dict[str, bytes]:
        """A repository's files and their bytes."""
        return {path: blob.data for path, blob in self.repos[kind, name].at(revision).files.items()}

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**30, middlewares=[self._answering])
        repo = r"/api/{kind:models|datasets|spaces}/{owner}/{name}"
        plain = r"/{kind:datasets}/{owner}/{name}"
        app.router.add_get("/api/whoami-v2", self._whoami)
        app.router.add_post("/api/repos/create", self._create)
        app.router.add_post("/api/validate-yaml", self._validate_yaml)
        app.router.add_get(repo, self._info)
        app.router.add_get(f"{repo}/revision/{{revision}}", self._info)
        app.router.add_post(f"{repo}/preupload/{{revision}}", self._preupload)
        app.router.add_post(f"{repo}/commit/{{revision}}", self._commit)
        app.router.add_get(f"{repo}/commits/{{revision}}", self._commits)
        app.router.add_get(f"{repo}/refs", self._refs)
        app.router.add_post(f"{repo}/tag/{{revision}}", self._tag)
        app.router.add_get(f"{repo}/tree/{{revision}}", self._tree)
        app.router.add_get(f"{repo}/tree/{{revision}}/{{path:.*}}", self._tree)
        app.router.add_post(f"{repo}/paths-info/{{revision}}", self._paths_info)
        app.router.add_get(f"{repo}/discussions", self._discussions)
        app.router.add_post(f"{repo}/discussions", self._discuss)
        app.router.add_get(f"{repo}/discussions/{{num}}", self._discussion)
        app.router.add_post(f"{repo}/discussions/{{num}}/status", self._status)
        app.router.add_post(f"{repo}/discussions/{{num}}/merge", self._merge)
        for git in (plain, "/{owner}/{name}"):  # models have no prefix
            app.router.add_post(f"{git}.git/info/lfs/objects/batch", self._lfs_batch)
            app.router.add_post(f"{git}.git/info/lfs/verify", self._lfs_verify)
        app.router.add_put("/storage/{kind}/{owner}/{name}/{oid}", self._lfs_put)
        app.router.add_get(f"{plain}/resolve/{{revision}}/{{path:.*}}", self._resolve)
        return app

    @web.middleware
    async def _answering(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = f"{request.method} {unquote(request.path)}"
        self.seen.append(asked)
        fault = self._fault(asked)
        if fault and not fault.done:
            return await _fail(request, fault)
        try:
            answer = await handler(request)
        except HubError as error:
            headers = {"X-Error-Message": error.message}
            if error.code:
                headers["X-Error-Code"] = error.code
            return web.json_response({"error": error.message}, status=error.status, headers=headers)
        return await _fail(request, fault) if fault else answer

    def _fault(self, asked: str) -> Fault | None:
        for fault in self.faults:
            if fault.on in asked and fault.times:
                if fault.after:
                    fault.after -= 1
                else:
                    fault.times -= 1
                    return fault
        return None

    def _user(self, request: web.Request) -> tuple[str, str] | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given not in self.tokens:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.tokens.get(given)

    def _repo(self, request: web.Request, *, write: bool = False) -> Repo:
        user = self._user(request)
        owner, name = request.match_info["owner"], request.match_info["name"]
        kind = request.match_info.get("kind", "models").removesuffix("s")
        repo = self.repos.get((kind, f"{owner}/{name}"))
        if repo is None or (repo.private and user is None):
            raise HubError(404 if user else 401, "Repository not found", "RepoNotFound")
        if write:
            self._allow(user, owner)
        return repo

    def _allow(self, user: tuple[str, str] | None, owner: str) -> None:
        if user is None:
            raise HubError(401, "Invalid username or password.")
        if user[1] != "write":
            raise HubError(403, "Forbidden: your token has no write permission")
        if owner != user[0] and owner not in self.organisations:
            raise HubError(403, f'You don\'t have the rights to write under the namespace "{owner}"')

    def _commit_of(self, request: web.Request) -> tuple[Repo, Commit]:
        repo = self._repo(request)
        return repo, repo.at(unquote(request.match_info.get("revision", "main")))

    async def _whoami(self, request: web.Request) -> web.Response:
        user = self._user(request)
        if user is None:
            raise HubError(401, "Invalid username or password.")
        token = {"displayName": "token", "role": user[1]}
        orgs = [{"type": "org", "name": name, "roleInOrg": "write"} for name in self.organisations]
        return web.json_response(
            {
                "type": "user",
                "name": user[0],
                "orgs": orgs,
                "auth": {"type": "access_token", "accessToken": token},
            }
        )

    async def _create(self, request: web.Request) -> web.Response:
        wanted, user = await request.json(), self._user(request)
        owner = wanted.get("organization") or (user[0] if user else "")
        self._allow(user, owner)
        kind, name = wanted.get("type", "model"), f"{owner}/{wanted['name']}"
        url = f"{self.url}/{'' if kind == 'model' else kind + 's/'}{name}"
        if (kind, name) in self.repos:
            return web.json_response(
                {"error": f"You already created this {kind} repo", "url": url}, status=409
            )
        private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        self.repos[kind, name] = Repo.new(kind, name, private)
        return web.json_response({"url": url, "name": name, "id": name})

    async def _validate_yaml(self, request: web.Request) -> web.Response:
        content = (await request.json())["content"]
        try:
            front = yaml.safe_load(content.split("---\n")[1])
        except (IndexError, yaml.YAMLError) as error:
            return web.json_response({"errors": [{"message": str(error)}], "warnings": []}, status=400)
        errors = [{"message": "front matter is no mapping"}] if not isinstance(front, dict) else []
        return web.json_response({"errors": errors, "warnings": []}, status=400 if errors else 200)

    async def _info(self, request: web.Request) -> web.Response:
        return web.json_response(hub_views.repo_info(*self._commit_of(request)))

    async def _preupload(self, request: web.Request) -> web.Response:
        repo = self._repo(request, write=True)
        there = repo.at(unquote(request.match_info["revision"])).files
        answers = []
        for wanted in (await request.json())["files"]:
            path = wanted["path"]
            large, old = path.endswith(LARGE_SUFFIXES), there.get(path)
            oid = None if old is None else old.sha256 if old.large else old.git_oid
            mode = "lfs" if large else "regular"
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return web.json_response({"files": answers})

    async def _lfs_batch(self, request: web.Request) -> web.Response:
        repo = self._repo(request, write=True)
        objects = []
        for wanted in (await request.json())["objects"]:
            entry: JsonObject = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in repo.large:
                upload = {"href": f"{self.url}/storage/{repo.kind}/{repo.name}/{wanted['oid']}"}
                prefix = "" if repo.kind == "model" else f"{repo.kind}s/"
                verify = {"href": f"{self.url}/{prefix}{repo.name}.git/info/lfs/verify"}
                entry["actions"] = {"upload": upload, "verify": verify}
            objects.append(entry)
        return web.json_response({"transfer": "basic", "objects": objects})

    async def _lfs_put(self, request: web.Request) -> web.Response:
        # As the real Hub's storage: the address is the permission.
        repo = self.repos[request.match_info["kind"], "{owner}/{name}".format(**request.match_info)]
        data = await request.read()
        if Blob(data, large=True).sha256 != request.match_info["oid"]:
            raise HubError(400, "The content does not have the announced digest")
        repo.large[request.match_info["oid"]] = data
        self.uploaded_bytes += len(data)
        return web.Response()

    async def _lfs_verify(self, request: web.Request) -> web.Response:
        repo, wanted = self._repo(request, write=True), await request.json()
        if len(repo.large.get(wanted["oid"], b"")) != wanted["size"]:
            raise HubError(404, "Object not found in storage")
        return web.json_response({})

    async def _commit(self, request: web.Request) -> web.Response:
        repo = self._repo(request, write=True)
        revision = unquote(request.match_info["revision"])
        ref = revision if revision in repo.refs else f"refs/heads/{revision}"
        if ref not in repo.refs:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        lines = [json.loads(line) for line in (await request.read()).splitlines() if line]
        header, changed, removed = lines[0]["value"], {}, []
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                try:
                    data = base64.b64decode(value["content"], validate=True)
                except binascii.Error as error:
                    raise HubError(400, f"{value['path']}: {error}") from error
                changed[value["path"]] = Blob(data, large=False)
            elif line["key"] == "lfsFile":
                if value["oid"] not in repo.large:
                    raise HubError(400, f"{value['path']}: not in storage, upload it first")
                changed[value["path"]] = Blob(repo.large[value["oid"]], large=True)
            elif line["key"] in ("deletedFile", "deletedFolder"):
                removed.append(value["path"])
            else:
                raise HubError(400, f"unknown operation {line['key']}")
        commit = repo.commit(ref, header["summary"], header["description"], changed, removed)
        url = f"{self.url}/datasets/{repo.name}/commit/{commit.oid}"
        return web.json_response({"commitOid": commit.oid, "commitUrl": url, "success": True})

    async def _commits(self, request: web.Request) -> web.Response:
        repo, head = self._commit_of(request)
        return web.json_response([hub_views.commit_entry(commit) for commit in repo.history(head)])

    async def _refs(self, request: web.Request) -> web.Response:
        return web.json_response(hub_views.refs(self._repo(request)))

    async def _tag(self, request: web.Request) -> web.Response:
        repo = self._repo(request, write=True)
        tag = (await request.json())["tag"]
        if f"refs/tags/{tag}" in repo.refs:
            raise HubError(409, f"Tag already exists: {tag}")
        repo.refs[f"refs/tags/{tag}"] = repo.at(unquote(request.match_info["revision"])).oid
        return web.json_response({"tag": tag})

    async def _tree(self, request: web.Request) -> web.Response:
        _, commit = self._commit_of(request)
        folder = request.match_info.get("path", "").strip("/")
        recursive = request.query.get("recursive", "").lower() in ("1", "true")
        entries = hub_views.tree(commit, folder, recursive)
        if folder and not entries:
            raise HubError(404, f'"{folder}" does not exist', "EntryNotFound")
        start = int(request.query.get("cursor", 0))
        headers = {}
        if start + PAGE < len(entries):
            following = request.url.update_query(cursor=str(start + PAGE))
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response(entries[start : start + PAGE], headers=headers)

    async def _paths_info(self, request: web.Request) -> web.Response:
        repo, commit = self._commit_of(request)
        form = await request.post()
        paths, expand = map(str, form.getall("paths", [])), str(form.get("expand", "")).lower() == "true"
        return web.json_response(hub_views.paths_info(repo, commit, paths, expand))

    async def _discussions(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        found = [hub_views.discussion(repo, pull) for pull in repo.pulls]
        return web.json_response({"discussions": found, "count": len(found), "start": 0})

    async def _discuss(self, request: web.Request) -> web.Response:
        repo, wanted = self._repo(request, write=True), await request.json()
        if not wanted["pullRequest"]:
            raise HubError(400, "only pull requests here")
        user = self._user(request)
        return web.json_response({"num": repo.open_pull(wanted["title"], user[0] if user else "").num})

    async def _discussion(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        return web.json_response(
            hub_views.discussion_details(repo, repo.pull(int(request.match_info["num"])))
        )

    async def _status(self, request: web.Request) -> web.Response:
        repo = self._repo(request, write=True)
        pull = repo.pull(int(request.match_info["num"]))
        if pull.status == "merged":
            raise HubError(400, "This pull request is merged")
        pull.status = (await request.json())["status"]
        event = {"id": "1", "type": "status-change", "createdAt": hub_views.when(repo.at("main"))}
        return web.json_response({"newStatus": event | {"data": {"status": pull.status}}})

    async def _merge(self, request: web.Request) -> web.Response:
        self._repo(request, write=True).merge(int(request.match_info["num"]))
        return web.json_response({})

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        _, commit = self._commit_of(request)
        path = unquote(request.match_info["path"])
        blob = commit.files.get(path)
        if blob is None:
            raise HubError(404, "Entry not found", "EntryNotFound")
        etag = f'"{blob.sha256 if blob.large else blob.git_oid}"'
        headers = {"X-Repo-Commit": commit.oid, "ETag": etag, "Accept-Ranges": "bytes"}
        if blob.large:
            headers |= {"X-Linked-Size": str(len(blob.data)), "X-Linked-Etag": etag}
        part = request.http_range
        if "Range" not in request.headers:
            return web.Response(body=blob.data, headers=headers)
        start, stop, _ = part.indices(len(blob.data))
        if start >= stop:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(blob.data)}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(blob.data)}"
        return web.Response(status=206, body=blob.data[start:stop], headers=headers)


async def _fail(request: web.Request, fault: Fault) -> web.StreamResponse:
    if fault.status:
        return web.json_response({"error": fault.message}, status=fault.status, headers=fault.headers)
    await request.content.read(1000)
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
