"""Low-rank adapters around a model, with the rows of the special tokens trained beside them."""

from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training

from pipeline.attention.visibility import BlockTokens
from pipeline.sft import config


def with_adapters(model: Any, tokens: BlockTokens, settings: config.LoraConfig) -> PeftModel:
    """The model with adapters on all linear layers; of its embeddings only the special tokens' rows learn.

    Where the output layer is a matrix of its own, its rows for them learn, too.
    """
    if settings.four_bit:
        model = prepare_model_for_kbit_training(model)  # type: ignore[no-untyped-call]
    rows = list(tokens)
    trained = {_name_of(model, model.get_input_embeddings()): rows}
    output = model.get_output_embeddings()
    if output is not None and output.weight is not model.get_input_embeddings().weight:
        trained[_name_of(model, output)] = rows
    wrapped = get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules="all-linear",
            trainable_token_indices=trained,
        ),
    )
    # TRL asks the output layer for its bias, which PEFT's wrapper of it does not have.
    base: Any = wrapped.get_base_model()
    head = base.get_output_embeddings()
    if head is not None and not hasattr(head, "bias"):
        head.bias = None
    return wrapped


def merged(model: Any) -> Any:
    """The model with its adapters added into the weights; one without adapters as it is."""
    return model.merge_and_unload() if isinstance(model, PeftModel) else model


def _name_of(model: Any, module: Any) -> str:
    name: str = next(name for name, each in model.named_modules() if each is module)
    return name.rpartition(".")[2]
