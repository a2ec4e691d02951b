"""The one way to a language model; every stage asks through it.

| what | where |
| --- | --- |
| what a stage asks and gets: requests, replies, errors | `model.py` |
| what a stage holds while it asks | `session.py` |
| attempts, validation, retries of one request | `client.py` |
| which errors are retried, and how long a rate limit waits | `errors.py` |
| several endpoints, back-off, health probes | `endpoints.py`, `urls.py` |
| requests open at once, in which order | `concurrency.py`, `cross_thread_waiter.py` |
| traces at work at once, by the size of the KV cache | `admission.py`, `kv_cache.py` |
| bodies and replies of chat completions | `chat_completions.py` |
| constrained replies | `choice_replies.py`, `json_replies.py`, `uncertainty.py` |
| what was not as asked for and taken all the same | `deviations.py` |
| HTTP | `http_json.py` |
| replies on disk | `cache.py` |
| how much of a trace fits a prompt; servers that cut prompts | `context_window.py`, `prompt_cutting.py` |
| prompt templates | `templates.py` |
| a vLLM server of our own | `serving.py`, `engine.py`, `engine_command.py`, `engine_log.py` |
| the model that comes along | `bundled_model.py` |
| a thread that only receives replies | `client_thread.py` |
"""
