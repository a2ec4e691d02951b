"""A model behind an endpoint: asked as one here is, its faults named."""

import pytest

from pipeline.evaluate.config import SamplingConfig
from pipeline.evaluate.endpoint import EndpointModel
from pipeline.evaluate.errors import EvaluateError
from pipeline.evaluate.modes import Mode
from tests.servers.stub_llm import StubLlm

pytestmark = pytest.mark.slow


def test_responses_come_in_the_order_of_the_prompts() -> None:
    with StubLlm() as stub:
        model = EndpointModel(stub.endpoint)
        written = model.write(["one", "two"], [1, 2], Mode.VANILLA, SamplingConfig(new_tokens=20))
    assert len(written) == 2
    assert all(each.text for each in written)
    assert all(each.response.is_ended and each.response.ids for each in written)


def test_what_is_wrong_with_an_endpoint_is_said() -> None:
    with pytest.raises(EvaluateError, match=r"http://127\.0\.0\.1:9/v1: does not say what it serves"):
        EndpointModel("http://127.0.0.1:9/v1")
    with StubLlm() as stub:
        with pytest.raises(EvaluateError, match=r"serves .*; name one: .*#NAME"):
            EndpointModel(f"{stub.endpoint}#other")
        with pytest.raises(EvaluateError, match="mode restart needs the model's cache"):
            EndpointModel(stub.endpoint).check_mode(Mode.RESTART)
