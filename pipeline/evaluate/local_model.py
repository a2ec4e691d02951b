"""A model of Transformers as it is evaluated: problems in, responses out, with what its cache held."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.attention.generate import Choose, Response, generate, likeliest
from pipeline.attention.layers import SLIDING, UnsupportedModel, windows
from pipeline.attention.sampling import Sampler
from pipeline.attention.trained_for import read_trained_for
from pipeline.attention.visibility import FORGET_NOTHING, BlockTokens, Forgetting
from pipeline.evaluate.config import SamplingConfig
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.modes import Mode
from pipeline.files.atomic import value_digest
from pipeline.files.digests import check_digests
from pipeline.sft.errors import SftError
from pipeline.sft.examples import Tokenizing
from pipeline.sft.tokens import SPECIAL, block_tokens

_SECONDS = 10.0
# Weights, config, tokenizer, chat template.
_OF_A_MODEL = (".safetensors", ".bin", ".json", ".model", ".jinja")
# Of a tokenizer without the special tokens: no token has these ids, so no block ever begins.
_NO_BLOCKS = BlockTokens(-1, -2, -3, -4)


@dataclass(frozen=True)
class Written:
    """A response as text with its special tokens, its prompt's size in tokens, and how it was written.

    fault: why there is none, "" where there is one; unknown_end: how an endpoint says that it ended, where
    that is no word that is known; deviations: what of the request or the reply was not as asked for
    (llm.deviations). A thinking that the template has opened, as it does for
    models without blocks, is part of the text.
    """

    text: str
    prompt_tokens: int
    response: Response
    fault: str = ""
    unknown_end: str = ""
    deviations: Sequence[str] = ()


class LocalModel:
    """A causal language model in a folder or on the Hub.

    Raises EvaluateError where it cannot be used, DamageError where it is not as its training has saved it.
    """

    sees_cache = True

    def __init__(self, path: str, tell: Callable[[str], None]) -> None:
        self.path = path
        self._tell = tell
        check_place(path)
        if Path(path).is_dir():
            check_digests(Path(path))
        on_gpu = torch.cuda.is_available()
        try:
            tokenizer = AutoTokenizer.from_pretrained(path)
            self.model: Any = AutoModelForCausalLM.from_pretrained(
                path,
                # As it was saved on a GPU; CPUs are slow in bfloat16.
                dtype="auto" if on_gpu else torch.float32,
                attn_implementation="sdpa",
                device_map="cuda" if on_gpu else None,
            )
            self.model.train(mode=False)
            windows(self.model.config)
            self.trained_for = read_trained_for(self.model.config)
        except (OSError, ValueError, SafetensorError, UnsupportedModel) as error:
            first = str(error).strip().partition("\n")[0]
            raise EvaluateError(f"models {path}: cannot be used ({first})") from None
        self.has_blocks = all(token in tokenizer.get_vocab() for token in SPECIAL)
        try:
            tokens = block_tokens(tokenizer) if self.has_blocks else _NO_BLOCKS
            self.tokenizing = Tokenizing(tokenizer, tokens, max_tokens=0, opens_thinking=self.has_blocks)
        except SftError as error:
            raise EvaluateError(f"models {path}: {error}") from None
        if self.has_blocks and not self.trained_for:
            tell(f"{path}: its config.json does not say what it forgets: blocks are dropped as in the paper")
        elif self.trained_for and not self.trained_for.forgets:
            tell(f"{path}: was trained with full attention; where blocks are dropped, it has not learnt to")
        self._ends = _ends(self.model, tokenizer)
        penalty = getattr(self.model.generation_config, "repetition_penalty", None)
        if penalty not in (None, 1.0):
            tell(f"models {path}: its makers recommend a repetition_penalty of {penalty}; none is used here")

    @property
    def digest(self) -> str:
        """Of the model's files, by name, size and time of change; of a Hub model its commit."""
        folder = Path(self.path)
        if not folder.is_dir():
            return value_digest([self.path, getattr(self.model.config, "_commit_hash", None)])
        files = sorted(path for path in folder.iterdir() if path.suffix in _OF_A_MODEL)
        return value_digest([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files])

    def modes(self, wanted: Sequence[Mode]) -> tuple[list[Mode], str]:
        """Of these modes those that it can be asked in, and why not in the others."""
        if not self.has_blocks:
            why = f"its tokenizer has no {SPECIAL[0]}, so it writes no blocks that could be dropped"
            possible = {Mode.VANILLA}
        elif SLIDING in windows(self.model.config):
            # What a block's end saw through a window is gone once its memento ends.
            why = "mode restart is for models without sliding windows"
            possible = {Mode.VANILLA, Mode.MEMENTO}
        else:
            return list(wanted), ""
        found = [mode for mode in wanted if mode in possible]
        return found, why if len(found) < len(wanted) else ""

    def forgetting(self, mode: Mode) -> Forgetting:
        """What a response in this mode forgets: as the model was trained, where its config.json says it."""
        drops = mode.forgetting != FORGET_NOTHING
        return self.trained_for.forgetting if drops and self.trained_for else mode.forgetting

    def write(
        self, prompts: Sequence[str], seeds: Sequence[int], mode: Mode, sampling: SamplingConfig
    ) -> list[Written]:
        """A response to each prompt, all at once. seeds: of each, by which its tokens are drawn.

        Each may get as long as the model's context leaves it beside its own prompt; a prompt that leaves
        nothing is answered with a fault.
        """
        sampling = self.resolved(sampling)
        asked = [self.tokenizing.prompt_ids(prompt) for prompt in prompts]
        context = _context(self.model.config)
        responses = generate(
            self.model,
            asked,
            self.tokenizing.tokens,
            self.forgetting(mode),
            ends=self._ends,
            new_tokens=[max(0, min(sampling.new_tokens, context - len(ids))) for ids in asked],
            choose=_Told(_chooser(sampling, seeds), len(asked), self._tell),
            block_limit=sampling.block_limit,
            restart=mode is Mode.RESTART,
        )
        decode, opening = self.tokenizing.tokenizer.decode, self.tokenizing.opening
        return [
            Written(
                opening + decode(response.ids, skip_special_tokens=False),
                len(ids),
                response,
                ""
                if len(ids) < context
                else f"prompt of {len(ids):,} tokens leaves no room in the model's {context:,}",
            )
            for ids, response in zip(asked, responses, strict=True)
        ]

    def resolved(self, sampling: SamplingConfig) -> SamplingConfig:
        """How it is really sampled: what is not told is as the model's makers recommend.

        That is as vLLM reads their generation config: what it names of temperature, top_p, top_k and min_p;
        temperature 1 and no limit where it names none. Temperature 0 where it says `do_sample: false`.
        Raises EvaluateError for several samples at temperature 0, which would all be the same.
        """
        makers = self.model.generation_config
        greedy = makers.do_sample is False
        recommended = {
            "temperature": 0.0 if greedy else _or(makers.temperature, 1.0),
            "top_p": _or(makers.top_p, 1.0),
            "top_k": max(0, _or(makers.top_k, 0)),
            "min_p": _or(makers.min_p, 0.0),
        }
        told = {name: _or(getattr(sampling, name), value) for name, value in recommended.items()}
        if told["temperature"] == 0 and sampling.samples > 1:
            raise EvaluateError(
                f"models {self.path}: its makers recommend the likeliest token each time, so samples would "
                "be all the same: give a --temperature above 0, or ask for one sample"
            )
        try:
            return SamplingConfig.model_validate({**sampling.model_dump(), **told})
        except ValidationError as error:
            raise EvaluateError(
                f"models {self.path}: its generation config recommends what cannot be sampled ({error})"
            ) from None


def _or(told: float | None, otherwise: float) -> float:
    return otherwise if told is None else told


def _chooser(sampling: SamplingConfig, seeds: Sequence[int]) -> Choose:
    """Of a sampling in which nothing is left to others."""
    if not sampling.temperature:
        return likeliest
    assert sampling.top_p is not None
    assert sampling.top_k is not None
    assert sampling.min_p is not None
    return Sampler(sampling.temperature, sampling.top_p, seeds, top_k=sampling.top_k, min_p=sampling.min_p)


def _context(config: Any) -> int:
    """Tokens that a model can see, where its config says so."""
    text = config.get_text_config(decoder=True)
    return int(getattr(text, "max_position_embeddings", None) or 2**31)


class _Told:
    """Chooses as another does, and tells every ten seconds how far a batch is."""

    def __init__(self, choose: Choose, rows: int, tell: Callable[[str], None]) -> None:
        self._choose, self._tell, self._rows = choose, tell, rows
        self._tokens = self._steps = 0
        self._began = time.monotonic()
        self._next = self._began + _SECONDS

    def __call__(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        self._tokens += len(rows)
        self._steps += 1
        if (now := time.monotonic()) >= self._next:
            self._next = now + _SECONDS
            self._tell(
                f"  {self._steps:,} tokens written, {len(rows)} of {self._rows} responses still going on, "
                f"{self._tokens / (now - self._began):,.0f} tokens/s"
            )
        return self._choose(logits, rows)


def check_place(path: str) -> None:
    """Raises EvaluateError where a path is that of a folder which is not there."""
    is_folder = path.startswith(("/", "./", "../")) or path.count("/") > 1
    if is_folder and "://" not in path and not Path(path).is_dir():
        raise EvaluateError(f"models {path}: no such folder")


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end a response: those of the generation config, and the tokenizer's own."""
    told = getattr(model.generation_config, "eos_token_id", None)
    ends = [] if told is None else told if isinstance(told, list) else [told]
    return sorted({*ends, tokenizer.eos_token_id})
