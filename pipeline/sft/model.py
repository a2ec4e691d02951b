"""The model that learns, with its tokenizer: read, or made from nothing for procedural data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from platformdirs import user_cache_path
from safetensors import SafetensorError
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from pipeline.llm.bundled_model import bundled_model
from pipeline.procedural.register_machine import WORDS
from pipeline.sft.config import ModelConfig, ScratchConfig
from pipeline.sft.errors import SftError
from pipeline.sft.tokens import SPECIAL, add_block_tokens, prepare_embeddings
from schemas.openmementos import THINK_END, THINK_START

BUNDLED = "bundled"
Precision = Literal["fp32", "bf16", "bf16-stochastic"]
_PADDING, _END, _USER, _ASSISTANT = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
_TEMPLATE = (
    "{% for message in messages %}"
    f"{_USER}{{{{ message.content }}}}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{_ASSISTANT}{{% endif %}}"
)


def where(config: ModelConfig) -> str:
    """The folder or Hub name of a model that is not made from nothing."""
    if config.path == BUNDLED:
        return str(bundled_model(user_cache_path("openmementos")))
    return str(config.path)


def load_tokenizer(config: ModelConfig) -> tuple[Any, tuple[str, ...]]:
    """The tokenizer with the special tokens, and those that are new. Raises SftError."""
    if config.scratch:
        return word_tokenizer(WORDS), ()
    try:
        tokenizer = AutoTokenizer.from_pretrained(where(config), revision=config.revision)
    except (OSError, ValueError) as error:
        raise SftError(
            f"model.path {config.path}: its tokenizer cannot be read ({_first_line(error)})"
        ) from None
    return tokenizer, tuple(add_block_tokens(tokenizer))


def load(config: ModelConfig, seed: int, start: Path | None = None, *, whole: bool = False) -> Any:
    """The model with rows for the special tokens, in the type it learns in, attending as this machine can.

    start: folder of an earlier stage's model, which is read instead. whole: with all weights in fp32, to add
    adapters into them. Raises SftError.
    """
    tokenizer, new = load_tokenizer(config)
    attention = "flex_attention" if torch.cuda.is_available() else "sdpa"
    dtype = torch.float32 if whole else weights_type(config, precision(config))
    if config.scratch and start is None:
        return _from_nothing(config.scratch, tokenizer, seed, attention, dtype)
    quantization = {}
    if config.lora and config.lora.four_bit and not whole:
        quantization = {"quantization_config": _four_bits(dtype)}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            start or where(config),
            revision=None if start else config.revision,
            dtype=dtype,
            attn_implementation=attention,
            **quantization,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise SftError(f"{start or config.path}: cannot be read as a model ({_first_line(error)})") from None
    if start is None:
        prepare_embeddings(model, tokenizer, new, seed)
    return model


def precision(config: ModelConfig, *, on_gpu: bool | None = None) -> Precision:
    """The precision that is trained in. on_gpu: whether that is on a GPU; None looks for one."""
    if config.precision != "auto":
        return config.precision
    return "bf16" if (torch.cuda.is_available() if on_gpu is None else on_gpu) else "fp32"


def weights_type(config: ModelConfig, chosen: Precision) -> torch.dtype:
    """The type that a model's weights are held in while it learns; adapters are in fp32 beside them.

    Weights that learn are in fp32: an AdamW update at a rate of 8e-5 is under half a step of bf16 for every
    weight above 0.031, and would be rounded away. In bf16 are those that do not learn, and those that are
    rounded stochastically.
    """
    if chosen == "bf16-stochastic" or (chosen == "bf16" and config.lora):
        return torch.bfloat16
    return torch.float32


def position_limit(config: ModelConfig) -> int | None:
    """Tokens of the longest text that the model has positions for; None where it has no such end."""
    if config.scratch:
        return None
    found = getattr(_read_config(config).get_text_config(decoder=True), "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None


def _read_config(config: ModelConfig) -> Any:
    try:
        return AutoConfig.from_pretrained(where(config), revision=config.revision)
    except (OSError, ValueError) as error:
        raise SftError(f"model.path {config.path}: cannot be read ({_first_line(error)})") from None


def saved_type(config: ModelConfig) -> torch.dtype:
    """The type that a trained model is saved in: that of the model it was made from, fp32 of a new one."""
    if config.scratch:
        return torch.float32
    read = _read_config(config)
    return read.get_text_config(decoder=True).dtype or read.dtype or torch.float32


def read_back(folder: Path) -> Any:
    """A saved model with the weights that its files have, to generate with: on the GPU where there is one."""
    on_gpu = torch.cuda.is_available()
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        # On a CPU the same weights, but sums in fp32: CPUs are slow in bf16.
        dtype="auto" if on_gpu else torch.float32,
        attn_implementation="sdpa",
    )
    return model.to("cuda" if on_gpu else "cpu").eval()


def word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are these words, each with the space behind it; it gives back every text."""
    markers = [_PADDING, _END, _USER, _ASSISTANT, THINK_START, THINK_END, *SPECIAL]
    vocabulary = {token: number for number, token in enumerate([*markers, *(f"{word} " for word in words)])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=_PADDING))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"\S+ "), "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner,
        pad_token=_PADDING,
        eos_token=_END,
        additional_special_tokens=[_USER, _ASSISTANT, *SPECIAL],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_tokens([THINK_START, THINK_END])
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def _from_nothing(shape: ScratchConfig, tokenizer: Any, seed: int, attention: str, dtype: torch.dtype) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=3 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        config, attn_implementation=attention, dtype=dtype
    )


def _four_bits(dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    try:
        return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    except ImportError:
        raise SftError("model.lora.four_bit needs bitsandbytes: pip install bitsandbytes, on a GPU") from None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
