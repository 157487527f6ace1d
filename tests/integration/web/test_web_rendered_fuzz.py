"""The fuzz target for pictures, for a moment."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.fuzz_pictures import Site, make
from web_archive import opened_archive


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened_archive(tmp_path_factory.mktemp("archive")) as (client, _):
        yield Site(client)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_no_request_for_a_picture_breaks(site: Site, chance: random.Random) -> None:
    asked = make(chance, site.names)
    site.check(asked)
