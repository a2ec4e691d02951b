"""What an engine tells at /metrics: what its KV cache holds, how many tokens it has worked on."""

from collections.abc import Mapping

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from pipeline.llm.urls import metrics_url

_METRIC = "vllm:cache_config_info"
_TIMEOUT_SECONDS = 10.0


def kv_cache_tokens(endpoint: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> int | None:
    """Tokens that the KV cache behind a base URL ending in /v1 holds; None where the endpoint does not tell.

    From what vLLM says of it in /metrics: the tokens, or in older versions blocks and their size. Of several
    engines behind one URL the smallest counts: the requests about a trace go to any of them, so that each
    has all traces that are at work.
    """
    try:
        answer = httpx2.get(metrics_url(endpoint), timeout=timeout_seconds, trust_env=False)
        if not answer.is_success:
            return None
        families = list(text_string_to_metric_families(answer.text))
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        return None
    told = [sample.labels for family in families for sample in family.samples if sample.name == _METRIC]
    return min((size for labels in told if (size := _tokens(labels))), default=None)


def tokens_counted(metrics: str) -> float | None:
    """Prompt and generated tokens in the text of /metrics; None where it counts none.

    vLLM, SGLang and llama.cpp count them, under names of their own that end alike.
    """
    try:
        families = list(text_string_to_metric_families(metrics))
    except ValueError:
        return None
    samples = (sample for family in families for sample in family.samples)
    counts = [sample.value for sample in samples if sample.name.endswith("tokens_total")]
    return sum(counts) if counts else None


def _tokens(labels: Mapping[str, str]) -> int:
    tokens, blocks, block_size = (
        int(told) if (told := labels.get(name, "")).isdecimal() else 0
        for name in ("kv_cache_size_tokens", "num_gpu_blocks", "block_size")
    )
    return tokens or blocks * block_size
