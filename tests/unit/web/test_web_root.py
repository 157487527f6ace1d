"""The address that links carry."""

import pytest
from starlette.datastructures import Headers

from isocenter.web.root import service_root, study_url


def root(public: str = "", **headers: str) -> str:
    scope = {"type": "http", "scheme": "http", "server": ("10.0.0.5", 8042)}
    return service_root(scope, Headers({name.replace("_", "-"): value for name, value in headers.items()}), public)


def test_from_the_request() -> None:
    assert root(host="pacs:8042") == "http://pacs:8042/dicom-web"
    assert root(host="[::1]:8042") == "http://[::1]:8042/dicom-web"


def test_a_client_that_leaves_the_port_out() -> None:
    assert root(host="10.0.0.5") == root(host="10.0.0.5:8042") == "http://10.0.0.5:8042/dicom-web"
    assert root(host="localhost") == "http://localhost:8042/dicom-web"
    assert root(host="pacs.example.org") == "http://pacs.example.org/dicom-web"


@pytest.mark.req("I-WEB-05")
def test_from_a_proxy() -> None:
    said = {"x_forwarded_proto": "https", "x_forwarded_host": "pacs.example.org", "x_forwarded_prefix": "/archive/"}
    assert root(host="inner", **said) == "https://pacs.example.org/archive/dicom-web"
    assert root(host="inner", x_forwarded_host="a.b", x_forwarded_port="8443") == "http://a.b:8443/dicom-web"
    forwarded = 'for=1.2.3.4;proto=https;host="pacs.example.org:8443", for=9.9.9.9;host=other'
    assert root(host="inner", forwarded=forwarded) == "https://pacs.example.org:8443/dicom-web"


def test_a_configured_root_wins() -> None:
    assert root("https://pacs.example.org/a/", host="inner", forwarded="host=x") == (
        "https://pacs.example.org/a/dicom-web"
    )


@pytest.mark.parametrize("host", ["", "a b", 'x"y', "evil/path", "a\\b", "<x>"])
def test_what_is_no_host_is_not_repeated(host: str) -> None:
    assert root(host=host) == "http://10.0.0.5:8042/dicom-web"


def test_uids_are_quoted() -> None:
    assert study_url("R", "1/2?", "3#", "4") == "R/studies/1%2F2%3F/series/3%23/instances/4"
