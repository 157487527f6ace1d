"""The de-identification profile of an installation, and its secret that is made when it is first needed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from isocenter.config import Settings
from isocenter.config.deidentification import Deidentification
from isocenter.dicom.deidentify import Profile
from isocenter.dicom.deidentify_table import Option
from isocenter.server.deidentifying import FILE_NAME, profile


def test_a_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with ThreadPoolExecutor(8) as threads:
        secrets = {made.secret for made in threads.map(profile, [settings] * 32)}
    assert len(secrets) == 1
    assert len(secrets.pop()) == 32
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert profile(settings) == profile(settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Deidentification(secret="s"), Profile(b"s")),
        (Deidentification(secret="s", dates="shift"), Profile(b"s", dates="shift")),
        (
            Deidentification(secret="s", dates="keep", keep=("uids",)),
            Profile(b"s", frozenset({Option.UIDS, Option.DATES})),
        ),
    ],
)
def test_settings_are_followed(tmp_path: Path, settings: Deidentification, expected: Profile) -> None:
    assert profile(Settings(data=tmp_path, deidentification=settings)) == expected
    assert list(tmp_path.iterdir()) == []
