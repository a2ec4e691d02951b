"""How many tokens an endpoint's KV cache holds, as vLLM tells it."""

from collections.abc import Mapping

import httpx2
from prometheus_client.parser import text_string_to_metric_families

_METRIC = "vllm:cache_config_info"
_TIMEOUT_SECONDS = 10.0


def kv_cache_tokens(endpoint: str) -> int | None:
    """Tokens that the KV cache behind a base URL ending in /v1 holds; None where the endpoint does not tell.

    From what vLLM says of it in /metrics: the tokens, or in older versions blocks and their size. Of several
    engines behind one URL the smallest counts: the requests about a trace go to any of them, so that each
    has all traces that are at work.
    """
    try:
        answer = httpx2.get(
            f"{endpoint.rstrip('/').removesuffix('/v1')}/metrics", timeout=_TIMEOUT_SECONDS, trust_env=False
        )
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
