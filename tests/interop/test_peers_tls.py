"""The whole server over TLS with DCMTK, pynetdicom, Orthanc and openssl, in both directions, and user identities."""

import io
import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from pydicom import dcmread
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import CTImageStorage, Verification  # type: ignore[attr-defined]

from archives import unused_port
from certificates import Authority, Issued
from isocenter.security.passcodes import hashed
from material import packaged_files
from peer_programs import background, identifier, listens, needs, orthanc, run
from servers import Server, isocenter, until

HOST = "127.0.0.1"
STUDY = "1.2.826.0.1.3680043.10.999.71"
SECRET = "shared between these two programs"


class Site:
    """A server with TLS, plain and demanding AEs, the certificates of everybody, and an object to send."""

    def __init__(self, server: Server, ca: Authority, peer: Issued, file: Path, ports: dict[str, int]) -> None:
        self.server, self.ca, self.peer, self.file, self.ports = server, ca, peer, file, ports
        told = json.loads((server.data / "run" / "ports.json").read_text())
        self.plain_port, self.tls_port = server.dicom_port, int(told["tls_ports"][0])

    @property
    def at(self) -> tuple[object, ...]:
        """How DCMTK's requestors are told where it is."""
        return ("-aec", "ISOCENTER", HOST, self.tls_port)

    @property
    def options(self) -> list[str]:
        """DCMTK's, for TLS with the peer's certificate."""
        return ["+tls", str(self.peer.key), str(self.peer.certificate), "+cf", str(self.ca.certificate)]

    def scu(self, program: str, *words: object, port: int = 0, called: str = "ISOCENTER", ok: bool = True) -> int:
        """Run a DCMTK requestor over TLS; its status."""
        command = [program, *self.options, "-aec", called, *words[:-1], HOST, port or self.tls_port, *words[-1:]]
        return run(*(word for word in command if word != ""), ok=ok).returncode

    def studies(self) -> int:
        """How many our own command finds, over TLS."""
        own = ("--tls", "--cert", self.peer.certificate, "--cert-key", self.peer.key, "--ca", self.ca.certificate)
        where = f"ISOCENTER@{HOST}:{self.tls_port}"
        found = run(*isocenter("find", where, "-k", f"StudyInstanceUID={STUDY}", "--json", *own))
        return len(json.loads(found.stdout))


@pytest.fixture(name="site", scope="module")
def fixture_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    ca = Authority(folder / "ca")
    own, peer = ca.issue("server", kind="rsa"), ca.issue("peer", kind="rsa")
    ports = {title: unused_port() for title in ("STORESCP", "PYNETDICOM", "ORTHANC")}
    peers = "".join(
        f'[[peer]]\ntitle = "{title}"\nhost = "{HOST}"\nport = {port}\ntls = true\n' for title, port in ports.items()
    )
    file = folder / "object.dcm"
    made = dcmread(next(path for path in packaged_files() if path.name == "CT_small.dcm"))
    made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, f"{STUDY}.1"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.1.1"
    made.save_as(file)
    (folder / "data").mkdir()
    (folder / "data" / "isocenter.toml").write_text(f"""
[tls]
ports = [0]
profile = "non-downgrading"
certificate = "{own.certificate}"
key = "{own.key}"
trusted = ["{ca.certificate}"]
[identity.jwt]
secret = "{SECRET}"
[[user]]
name = "anna"
passcode = "{hashed("open sesame")}"
[[ae]]
title = "ISOCENTER"
[[ae]]
title = "MUST"
identity = "required"
{peers}""")
    with Server(folder / "data", settings={"processes__dicom": 1}) as server:
        yield Site(server, ca, peer, file, ports)


def accepted(site: Site) -> list[dict[str, Any]]:
    return list(site.server.events("association.accepted"))


# --- DCMTK


@needs("echoscu", "storescu", "findscu")
@pytest.mark.req("P-SEC-12", "P-SEC-01", "P-SEC-03", "M-SEC-01", "P-ECHO-01")
def test_dcmtk_echoes_stores_and_finds(site: Site) -> None:
    site.scu("echoscu")
    assert accepted(site)[-1]["tls"].startswith("TLSv1.")
    site.scu("storescu", site.file)
    found = run("findscu", *site.options, "-S", *site.at, *identifier("STUDY", StudyInstanceUID=STUDY, PatientID=""))
    assert "PatientID" in found.stderr + found.stdout
    assert site.studies() == 1


@needs("echoscu")
@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_dcmtk_under_each_of_its_profiles(site: Site, profile: str) -> None:
    assert site.scu("echoscu", profile, "") == 0


@pytest.mark.req("P-SEC-09")
@needs("echoscu")
def test_dcmtk_is_refused_without_what_it_needs(site: Site, tmp_path: Path) -> None:
    where = (HOST, site.tls_port)
    assert run("echoscu", "-aec", "ISOCENTER", *where, ok=False).returncode != 0
    assert run("echoscu", "+tla", "+cf", site.ca.certificate, "-aec", "ISOCENTER", *where, ok=False).returncode != 0
    stranger = Authority(tmp_path, "stranger").issue("peer", kind="rsa")
    words = ("+tls", stranger.key, stranger.certificate, "+cf", site.ca.certificate)
    assert run("echoscu", *words, "-aec", "ISOCENTER", *where, ok=False).returncode != 0
    assert site.scu("echoscu", "+pa", "", ok=False) != 0, "the retired AES profile is off"
    assert site.scu("echoscu", port=site.plain_port, ok=False) != 0


@needs("echoscu", "storescu", "movescu", "storescp")
@pytest.mark.req("P-SEC-07")
def test_dcmtk_is_sent_to_over_tls(site: Site, tmp_path: Path) -> None:
    site.scu("storescu", site.file)
    folder = tmp_path / "got"
    folder.mkdir()
    port = site.ports["STORESCP"]
    command = ["storescp", *site.options, "-aet", "STORESCP", "-od", str(folder), str(port)]
    with background(command, tmp_path / "log"):
        listens(port)
        assert site.scu("echoscu", "", port=port, called="STORESCP") == 0
        where = ("-aec", "ISOCENTER", HOST, site.plain_port)
        run("movescu", "-S", "-aem", "STORESCP", *where, *identifier("STUDY", StudyInstanceUID=STUDY))
        (got,) = list(folder.iterdir())
    assert dcmread(got).PixelData == dcmread(site.file).PixelData
    # and our own command line does, as it echoes
    with background(command, tmp_path / "log"):
        listens(port)
        own = ("--cert", site.peer.together, "--ca", site.ca.certificate)
        run(*isocenter("echo", f"STORESCP@{HOST}:{port}", *own))
        run(*isocenter("send", f"STORESCP@{HOST}:{port}", site.file, *own))
        assert run(*isocenter("echo", f"STORESCP@{HOST}:{port}"), ok=False).returncode == 3


@needs("echoscu", "storescu")
def test_identities_of_dcmtk(site: Site, tmp_path: Path) -> None:
    def store(*words: object) -> int:
        return site.scu("storescu", *words, site.file, called="MUST", ok=False)

    token = tmp_path / "token"
    claims = {"sub": "bert", "exp": int(time.time()) + 600}
    token.write_text(jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET)))
    assert store("-usr", "anna", "-pwd", "open sesame") == 0
    assert store("-usr", "anna", "-pwd", "open sesame", "-rsp") == 0
    assert accepted(site)[-1]["user"] == "anna"
    assert store("--jwt", token, "-rsp") == 0
    assert accepted(site)[-1]["user"] == "bert"
    for words in ((), ("-usr", "anna"), ("-usr", "anna", "-pwd", "guess"), ("--saml", token), ("-kt", token)):
        assert store(*words) != 0
    site.scu("storescu", "--saml", token, site.file)  # passed over by an AE that asks for none


# --- openssl


@needs("openssl")
@pytest.mark.req("M-SEC-02")
@pytest.mark.parametrize(
    ("words", "agreed"),
    [
        (["-tls1_3"], "TLSv1.3"),
        (["-tls1_2"], "TLSv1.2"),
        (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ""),
        (["-tls1", "-cipher", "ALL:@SECLEVEL=0"], ""),
        (["-tls1_2", "-cipher", "AES256-SHA"], ""),
    ],
)
def test_openssl_gets_what_the_profile_allows(site: Site, words: list[str], agreed: str) -> None:
    own = ["-cert", str(site.peer.certificate), "-key", str(site.peer.key), "-CAfile", str(site.ca.certificate)]
    command = ["openssl", "s_client", "-connect", f"{HOST}:{site.tls_port}", *own, *words]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False)
    said = done.stdout.decode()
    assert (f"New, {agreed}," in said) if agreed else ("Cipher is (NONE)" in said)
    assert "Verify return code: 0" in said or not agreed


# --- pynetdicom


def pynetdicom_context(site: Site, purpose: ssl.Purpose) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=str(site.ca.certificate))
    context.load_cert_chain(site.peer.certificate, site.peer.key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def identity(kind: int, primary: bytes, secondary: bytes | None = None) -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type, item.primary_field, item.secondary_field = kind, primary, secondary
    item.positive_response_requested = True
    return item


def test_pynetdicom_stores_with_an_identity(site: Site) -> None:
    ae = AE("PYSCU")
    ae.add_requested_context(Verification)
    ae.add_requested_context(CTImageStorage)
    tls = (pynetdicom_context(site, ssl.Purpose.SERVER_AUTH), HOST)
    who = [identity(2, b"anna", b"open sesame")]
    link = ae.associate(HOST, site.tls_port, ae_title="MUST", tls_args=tls, ext_neg=who)
    assert link.is_established
    assert link.acceptor.user_identity.server_response == b""
    assert link.send_c_echo().Status == 0
    assert link.send_c_store(site.file).Status == 0
    link.release()
    refused = ae.associate(HOST, site.tls_port, ae_title="MUST", tls_args=tls, ext_neg=[identity(2, b"anna", b"no")])
    assert refused.is_rejected


def test_pynetdicom_is_sent_to_with_an_identity(site: Site) -> None:
    got: list[str] = []
    seen: list[tuple[int, bytes, bytes]] = []

    def verify(event: Any) -> tuple[bool, bytes | None]:
        seen.append((event.user_id_type, event.primary_field, event.secondary_field))
        return event.secondary_field != b"wrong", None

    def store(event: Any) -> int:
        got.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    ae = AE("PYNETDICOM")
    ae.add_supported_context(Verification)
    ae.add_supported_context(CTImageStorage)
    server = ae.start_server(
        (HOST, site.ports["PYNETDICOM"]), block=False, ssl_context=pynetdicom_context(site, ssl.Purpose.CLIENT_AUTH),
        evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_USER_ID, verify)],
    )  # fmt: skip
    try:
        data = ("--data", site.server.data)
        run(*isocenter("send", "PYNETDICOM", site.file, "--user", "anna", "--passcode", "word", *data))
        run(*isocenter("echo", "PYNETDICOM", "--user", "anna", *data))
        run(*isocenter("echo", "PYNETDICOM", "--jwt", "-", *data), input="a.b.c\n")
        done = run(*isocenter("echo", "PYNETDICOM", "--user", "anna", "--passcode", "wrong", *data), ok=False)
        assert done.returncode == 3
    finally:
        server.shutdown()
    assert got == [f"{STUDY}.1.1"]
    assert seen[:3] == [(2, b"anna", b"word"), (1, b"anna", b""), (5, b"a.b.c", b"")]


# --- Orthanc


@needs("Orthanc", "movescu")
def test_orthanc_both_ways(site: Site, tmp_path: Path) -> None:
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(site.peer.certificate),
        "DicomTlsPrivateKey": str(site.peer.key),
        "DicomTlsTrustedCertificates": str(site.ca.certificate),
        "DicomTlsRemoteCertificateRequired": True,
    }
    ours = {"isocenter": {"AET": "ISOCENTER", "Host": HOST, "Port": site.tls_port, "UseDicomTls": True}}
    with orthanc(tmp_path / "orthanc", ours, dicom_port=site.ports["ORTHANC"], more=settings) as peer:
        content = io.BytesIO(site.file.read_bytes()).getvalue()
        peer.post("/instances", content)
        peer.post("/modalities/isocenter/echo", b"{}")
        study = peer.get("/studies")[0]
        answer = peer.post("/modalities/isocenter/store", {"Resources": [study], "Synchronous": True})
        assert int(answer["FailedInstancesCount"]) == 0
        assert site.studies() == 1
        found = peer.post("/modalities/isocenter/query", {"Level": "Study", "Query": {"StudyInstanceUID": STUDY}})
        assert len(peer.get(f"/queries/{found['ID']}/answers")) == 1
        peer.delete(f"/studies/{study}")
        where = ("-aec", "ISOCENTER", HOST, site.plain_port)
        run("movescu", "-S", "-aem", "ORTHANC", *where, *identifier("STUDY", StudyInstanceUID=STUDY))
        until(lambda: peer.get("/studies"), told="the study is in Orthanc")
        (back,) = peer.data_sets().values()
        assert dcmread(io.BytesIO(back)).PixelData == dcmread(site.file).PixelData
