"""The trained model on the Hub, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from pipeline.sft.errors import SftError


def push(model: Path, to: str, *, private: bool, tell: Callable[[str], None]) -> str:
    """The commit of the model's folder on the Hub: weights, tokenizer, template, generation config, card.

    One commit, so that nobody finds half a model there. Raises SftError where the Hub refuses.
    """
    api = HfApi()
    tell(f"uploading to {to}")
    try:
        api.create_repo(to, repo_type="model", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=to, repo_type="model", folder_path=model, commit_message="Model trained on mementos"
        )
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        raise SftError(
            f"push_to {to}: the Hub refuses ({first}); the model is in {model}, "
            "run the same command to try again"
        ) from None
    return str(commit.oid)
