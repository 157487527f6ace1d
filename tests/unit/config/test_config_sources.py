"""Sources, their order, and what is said of a key that does not exist."""

from pathlib import Path

import pytest

from isocenter import config
from isocenter.errors import ConfigurationError


def write(folder: Path, text: str) -> Path:
    path = folder / "isocenter.toml"
    path.write_text(text)
    return path


def test_defaults_listen_on_loopback_only() -> None:
    settings = config.load(environment={})
    assert (settings.host, settings.dicom_port, settings.http_port) == ("127.0.0.1", 11112, 8042)
    assert [ae.title for ae in settings.aes] == ["ISOCENTER"]
    assert settings.policy == "open"
    assert settings.http_open
    assert settings.database_url == "sqlite:///data/index.db"


@pytest.mark.req("I-ASSOC-32")
def test_two_hundred_associations_by_default() -> None:
    assert config.load(environment={}).limits.associations == 200


def test_each_source_wins_over_the_one_before(tmp_path: Path) -> None:
    file = write(tmp_path, "dicom_port = 1\nhttp_port = 1\nlog_level = 'DEBUG'\n[limits]\nartim = 1\ndimse = 1\n")
    environment = {"ISOCENTER_HTTP_PORT": "2", "ISOCENTER_LIMITS__DIMSE": "2.5", "ISOCENTER_DICOM_PORT": "2"}
    loaded = config.load_with_origins(file, environment, {"dicom_port": 3, "host": None})
    settings = loaded.settings
    assert (settings.log_level, settings.http_port, settings.dicom_port) == ("DEBUG", 2, 3)
    assert (settings.limits.artim, settings.limits.dimse) == (1.0, 2.5)
    assert loaded.origins["limits.dimse"] == "environment"
    assert loaded.origins["limits.artim"] == f"file {file}"
    assert loaded.origins["dicom_port"] == "command line"


def test_the_file_in_the_data_folder_is_read(tmp_path: Path) -> None:
    write(tmp_path, "dicom_port = 4242\n")
    assert config.load(environment={"ISOCENTER_DATA": str(tmp_path)}).dicom_port == 4242
    assert config.load(environment={}, overrides={"data": str(tmp_path)}).dicom_port == 4242


def test_the_file_that_a_variable_names_is_read(tmp_path: Path) -> None:
    file = write(tmp_path, "dicom_port = 4242\n")
    assert config.load(environment={"ISOCENTER_CONFIG": str(file)}).dicom_port == 4242


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("dicm_port = 1", "dicom_port"),
        ("[limit]\nartim = 1", "limits"),
        ("[limits]\nartm = 1", "limits.artim"),
        ("[[peer]]\ntitle = 'A'\nhst = 'b'", "peer[0].host"),
        ("turn = 1", "limits.turn"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(tmp_path: Path, text: str, near: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.load(write(tmp_path, text), environment={})
    assert f"the nearest is {near!r}" in caught.value.comment
    assert "isocenter.toml" in caught.value.comment


def test_an_unknown_variable_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"ISOCENTER_LIMITS__ARTM.*limits\.artim"):
        config.load(environment={"ISOCENTER_LIMITS__ARTM": "1"})


def test_variables_of_the_tests_and_of_others_are_left_alone() -> None:
    config.load(environment={"ISOCENTER_TEST_MATERIAL": "x", "ORTHANC_NAME": "y"})


def test_arrays_from_variables() -> None:
    environment = {
        "ISOCENTER_PEER": '[{"title": "A", "host": "10.0.0.1", "allow": ["store"]}]',
        "ISOCENTER_AE": '[{"title": "ONE"}, {"title": "TWO", "responses": {"study": 5}}]',
    }
    settings = config.load(environment=environment)
    assert settings.peers_titled("A")[0].allow == ("store",)
    ae = settings.ae("TWO")
    assert ae is not None
    assert ae.responses.study == 5
    assert settings.ae("THREE") is None


@pytest.mark.parametrize("name", ["ISOCENTER_HTTP__TOKEN_FILE", "ISOCENTER_DATABASE_FILE"])
def test_a_secret_may_lie_in_a_file(tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sqlite:////x\n")
    settings = config.load(environment={name: str(secret)})
    assert "sqlite:////x" in (settings.http.token, settings.database)


def test_a_missing_secret_file_is_named() -> None:
    with pytest.raises(ConfigurationError, match="ISOCENTER_DATABASE_FILE"):
        config.load(environment={"ISOCENTER_DATABASE_FILE": "/nowhere/at/all"})


@pytest.mark.parametrize(
    ("text", "size"), [("5", 5), ("1 GiB", 1 << 30), ("500 MB", 500_000_000), ("1.5KiB", 1536), ("2k", 2000)]
)
def test_sizes_may_have_units(text: str, size: int) -> None:
    environment = {"ISOCENTER_FREE_SPACE_FLOOR": text, "ISOCENTER_LIMITS__OBJECT": text}
    settings = config.load(environment=environment)
    assert settings.free_space_floor == settings.limits.object == size


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"ISOCENTER_DICOM_PORT": "many"}, "dicom_port"),
        ({"ISOCENTER_DICOM_PORT": "70000"}, "dicom_port"),
        ({"ISOCENTER_DURABILITY": "luck"}, "durability"),
        ({"ISOCENTER_FREE_SPACE_FLOOR": "a lot"}, "free_space_floor"),
        ({"ISOCENTER_PEER": "[{}]"}, "peer"),
        ({"ISOCENTER_PEER": "[{"}, "ISOCENTER_PEER"),
        ({"ISOCENTER_DATABASE": "mysql://x"}, "database"),
    ],
)
def test_a_malformed_value_is_named(environment: dict[str, str], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        config.load(environment=environment)


@pytest.mark.parametrize("text", ["dicom_port = ", "\0", "[a"])
def test_a_malformed_file_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"isocenter\.toml"):
        config.load(write(tmp_path, text), environment={})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no file"):
        config.load(tmp_path / "no.toml", environment={})


def test_the_web_service_has_the_habits_of_a_hosted_ae(tmp_path: Path) -> None:
    text = '[http]\nae = "{}"\n[[ae]]\ntitle = "ONE"\n[[ae]]\ntitle = "TWO"\n'
    assert config.load(write(tmp_path, text.format("TWO")), environment={}).http.ae == "TWO"
    with pytest.raises(ConfigurationError, match=r"http\.ae: no AE 'THREE' is hosted here"):
        config.load(write(tmp_path, text.format("THREE")), environment={})
