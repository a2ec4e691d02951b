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
    with StubLlm() as stub, pytest.raises(EvaluateError, match=r"serves .*; name one: .*#NAME"):
        EndpointModel(f"{stub.endpoint}#other")


def test_an_endpoint_is_asked_once_as_it_is_served() -> None:
    with StubLlm() as stub:
        model = EndpointModel(stub.endpoint)
    assert model.modes([Mode.VANILLA]) == ([Mode.VANILLA], "")
    found, why_not = model.modes(list(Mode))
    assert found == [Mode.VANILLA]
    assert "asked once" in why_not
    assert model.modes([Mode.RESTART])[0] == []
