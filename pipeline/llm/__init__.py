"""The one way to a language model; every stage asks through it.

| what | where |
| --- | --- |
| what a stage asks and gets: requests, replies, errors | `model.py` |
| what a stage holds while it asks | `session.py` |
| attempts, validation, retries of one request | `client.py` |
| which errors are retried, and how long a rate limit waits | `errors.py` |
| several endpoints, back-off, health probes | `endpoints.py`, `urls.py` |
| requests open at once, in which order | `concurrency.py`, `waiter.py` |
| traces at work at once, by the size of the KV cache | `admission.py`, `kv_cache.py` |
| bodies and replies of chat completions | `chat_completions.py` |
| constrained replies | `choices.py`, `uncertainty.py` |
| HTTP | `api.py` |
| replies on disk | `cache.py` |
| how much of a trace fits a prompt | `window.py` |
| prompt templates | `templates.py` |
| a vLLM server of our own | `serving.py`, `engine.py`, `engine_command.py`, `engine_log.py`, `bundled.py` |
| a thread that only receives replies | `client_thread.py` |
"""
