import json
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.doctor.installation import mismatched, unmet
from tests.servers.stub_llm import StubLlm

ROOT = Path(__file__).parents[2]
KEY = "key-that-nobody-may-see"


@pytest.fixture(autouse=True)
def calm_environment(monkeypatch, tmp_path):
    """No Prefect server, no token, no key of the machine that runs the tests."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))


def told(tmp_path: Path, *arguments: str):
    return CliRunner().invoke(app, ["doctor", "--run-dir", str(tmp_path / "run"), *arguments])


def items(tmp_path: Path, *arguments: str) -> dict[str, dict[str, str]]:
    found = json.loads(told(tmp_path, "--json", *arguments).stdout)
    return {item["name"]: item for item in found["items"]}


def test_an_endpoint_that_serves_the_model_is_ok_with_its_window(tmp_path):
    with StubLlm(model="m") as stub:
        result = told(tmp_path, "--endpoint", stub.endpoint, "--model", "m", "--json")
        assert stub.requests == []
    found = {item["name"]: item for item in json.loads(result.stdout)["items"]}
    assert result.exit_code == 0, found
    served = found[f"endpoint {stub.endpoint}"]
    assert (served["state"], served["found"]) == ("ok", "serves m, window 131,072 tokens")


def test_an_endpoint_that_serves_another_model_is_broken_and_names_what_it_serves(tmp_path):
    with StubLlm(model="small") as stub:
        result = told(tmp_path, "--endpoint", stub.endpoint, "--model", "big", "--json")
    assert result.exit_code == 1
    assert "serves small, not big" in result.stdout


def test_a_provider_that_lists_other_names_may_still_serve_this_one(tmp_path):
    with StubLlm(model="small", owned_by="someone") as stub:
        found = items(tmp_path, "--endpoint", stub.endpoint, "--model", "big")
    assert found[f"endpoint {stub.endpoint}"]["state"] == "note"


def test_a_dead_endpoint_is_broken_and_the_exit_code_says_so(tmp_path):
    with StubLlm() as stub:
        address = stub.endpoint
    result = told(tmp_path, "--endpoint", address, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False
    assert "nobody answers there" in result.stdout


def test_a_wrong_key_names_the_variable_and_no_secret_is_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", "hf_token_that_nobody_may_see")
    with StubLlm(api_key="another") as stub:
        results = [told(tmp_path, "--endpoint", stub.endpoint, *more) for more in ((), ("--json",))]
    for result in results:
        assert result.exit_code == 1
        assert "set OPENAI_API_KEY" in result.stdout
        for secret in (KEY, "hf_token_that_nobody_may_see", "another"):
            assert secret not in result.output


@pytest.mark.parametrize("more", [[], ["--config", str(ROOT / "flows/configs/sample.yaml")]])
def test_an_address_with_a_password_is_broken_and_told_without_it(tmp_path, more):
    result = told(tmp_path, "--endpoint", "http://me:password@host:8000/v1", "--json", *more)
    assert result.exit_code == 1
    (config,) = (item for item in json.loads(result.stdout)["items"] if item["name"] == "config")
    assert config["state"] == "broken"
    assert "//…@host:8000/v1" in config["found"]
    assert "password" not in result.output


def test_a_key_that_is_no_header_is_broken_and_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nX-Other: 1")
    with StubLlm() as stub:
        result = told(tmp_path, "--endpoint", stub.endpoint, "--json")
    assert result.exit_code == 1
    assert KEY not in result.output


def test_a_model_folder_that_is_not_there_is_broken(tmp_path):
    found = items(tmp_path, "--model", str(tmp_path / "missing"))["model"]
    assert found["state"] == "broken"
    assert "missing is not there" in found["found"]


def test_a_model_folder_with_a_config_is_ok(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert items(tmp_path, "--model", str(tmp_path))["model"]["state"] == "ok"


def test_a_hub_model_that_is_not_cached_will_be_downloaded_unless_offline(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert items(tmp_path, "--model", "nobody/no-such-model")["model"]["state"] == "note"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert items(tmp_path, "--model", "nobody/no-such-model")["model"]["state"] == "broken"


def test_a_prefect_server_that_does_not_answer_is_broken(tmp_path, monkeypatch):
    assert items(tmp_path)["prefect"]["state"] == "ok"
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    found = items(tmp_path)["prefect"]
    assert found["state"] == "broken"
    assert "unset PREFECT_API_URL" in found["remedy"]


def test_a_prefect_server_of_the_active_profile_is_looked_at(tmp_path):
    home = tmp_path / "prefect"
    home.mkdir()
    text = 'active = "far"\n[profiles.far]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    (home / "profiles.toml").write_text(text)
    assert "http://127.0.0.1:9/api" in items(tmp_path)["prefect"]["found"]


def test_a_run_folder_that_is_a_file_is_broken(tmp_path):
    (tmp_path / "run").write_text("")
    assert items(tmp_path)["run folder"]["state"] == "broken"


def test_a_config_with_a_mistake_is_told_with_all_the_rest(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("name: mine\npartition: {min_token: 3}\n")
    found = items(tmp_path, "--config", str(config))
    assert "did you mean 'partition.min_tokens'" in found["config"]["found"]
    assert found["config"]["state"] == "broken"
    assert "python" in found


def test_a_source_that_is_not_there_is_broken(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text(f"name: mine\nsource: {{paths: [{tmp_path}/no.parquet]}}\n")
    assert items(tmp_path, "--config", str(config))["source"]["state"] == "broken"


def test_what_is_not_ok_says_how_to_fix_it(tmp_path):
    with StubLlm() as stub:
        address = stub.endpoint
    found = items(tmp_path, "--endpoint", address, "--model", "x")
    assert all(item["remedy"] for item in found.values() if item["state"] != "ok")


@pytest.mark.parametrize(
    ("installed", "wrong"),
    [
        ({"sqlalchemy": "2.0.58"}, []),
        ({"sqlalchemy": "2.1.0"}, ["sqlalchemy 2.1.0 is installed, sqlalchemy<2.1 is needed"]),
        ({}, ["sqlalchemy<2.1 is not installed"]),
    ],
)
def test_a_package_of_the_wrong_version_is_named_with_the_right_one(installed, wrong):
    assert unmet([Requirement("sqlalchemy<2.1")], installed) == wrong


@pytest.mark.parametrize(
    ("torch", "torchvision", "wrong"),
    [
        ("2.13.0+cpu", "0.28.0", ["torchvision 0.28.0"]),
        ("2.13.0+cpu", "0.28.0+cpu", []),
        ("2.9.0", "0.24.0", []),
    ],
)
def test_companions_built_for_another_torch_are_found(torch, torchvision, wrong):
    assert mismatched({"torch": torch, "torchvision": torchvision}) == wrong


def test_no_engine_is_loaded_to_look(tmp_path):
    script = (
        "import sys; from pathlib import Path; from pipeline.config import BuildConfig;"
        "from pipeline.doctor import examine; examine(BuildConfig(name='n'), Path(sys.argv[1]));"
        "assert not {'torch', 'vllm', 'prefect'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, check=True, timeout=120)
