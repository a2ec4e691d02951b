"""How many tokens an endpoint's KV cache holds, as vLLM tells it."""

import httpx2
from prometheus_client.parser import text_string_to_metric_families

_METRIC = "vllm:cache_config_info"
_TIMEOUT_SECONDS = 10.0


def kv_cache_tokens(endpoint: str) -> int | None:
    """Tokens that the KV cache behind a base URL ending in /v1 holds; None where the endpoint does not tell.

    From the blocks that vLLM says in /metrics that it has. Of several engines behind one URL the smallest
    counts: the requests about a trace go to any of them, so that each has all traces that are at work.
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
    sizes = [_tokens(labels.get("num_gpu_blocks", ""), labels.get("block_size", "")) for labels in told]
    return min((size for size in sizes if size), default=None)


def _tokens(blocks: str, block_size: str) -> int:
    return int(blocks) * int(block_size) if blocks.isdecimal() and block_size.isdecimal() else 0
