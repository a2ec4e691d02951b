"""How many tokens an endpoint's KV cache holds, as vLLM tells it."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from pipeline.llm.urls import url_of

_METRIC = "vllm:cache_config_info"
_TIMEOUT_SECONDS = 10.0


def kv_cache_tokens(endpoint: str) -> int | None:
    """Tokens that the KV cache behind a base URL ending in /v1 holds; None where the endpoint does not tell.

    From what vLLM says of it in /metrics: the tokens, or in older versions blocks and their size. Of several
    engines behind one URL the smallest counts: the requests about a trace go to any of them, so that each
    has all traces that are at work.
    """
    try:
        parts = urlsplit(endpoint)
        root = parts._replace(path=parts.path.rstrip("/").removesuffix("/v1")).geturl()
        answer = httpx2.get(url_of(root, "/metrics"), timeout=_TIMEOUT_SECONDS, trust_env=False)
        if not answer.is_success:
            return None
        families = list(text_string_to_metric_families(answer.text))
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        return None
    told = [sample.labels for family in families for sample in family.samples if sample.name == _METRIC]
    return min((size for labels in told if (size := _tokens(labels))), default=None)


def _tokens(labels: Mapping[str, str]) -> int:
    tokens, blocks, block_size = (
        int(told) if (told := labels.get(name, "")).isdecimal() else 0
        for name in ("kv_cache_size_tokens", "num_gpu_blocks", "block_size")
    )
    return tokens or blocks * block_size
