"""The server gives what is there, nothing else, and guards it: names, token, policy, sizes."""

import json
from pathlib import Path
from urllib.parse import unquote

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient
from starlette.types import Message

from miso.view.means import MOST_BYTES
from miso.view.scene import Scene
from miso.view.server import application

LOOPBACK = frozenset({"localhost", "127.0.0.1"})


@pytest.fixture
def client(scene: Scene) -> TestClient:
    return TestClient(application(scene, hosts=LOOPBACK), base_url="http://127.0.0.1:8765")


def test_every_resource_has_its_address_and_kind(client: TestClient) -> None:
    for address, kind in {
        "": "text/html; charset=utf-8",
        "index.html": "text/html; charset=utf-8",
        "openseadragon.min.js": "text/javascript; charset=utf-8",
        "scene.json": "application/json",
        "slide/10/1_0.jpg": "image/jpeg",
        "maps/0/0/0/1_0.f32": "application/octet-stream",
        "maps/0/s2/1/0_0.f32": "application/octet-stream",
        "maps/0/n/percentiles.json": "application/json",
        "samples/0/spots.json": "application/json",
        "samples/0/genes/1.f32": "application/octet-stream",
    }.items():
        answer = client.get(f"/{address}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind), address


def test_spots_and_their_values_go_together(client: TestClient) -> None:
    said = client.get("/samples/0/spots.json").json()
    assert said == {"x": [100.25, 300, 500], "y": [50, 50, 450], "names": ["a", "b", "<b>c</b>"]}
    values = np.frombuffer(client.get("/samples/0/genes/1.f32").content, dtype="<f4")
    np.testing.assert_array_equal(values, [2, 4, np.nan])


@pytest.mark.parametrize(
    "address",
    [
        "slide/11/0_0.jpg",
        "slide/10/9_9.jpg",
        "slide/-1/0_0.jpg",
        "slide/99999999999999999999/0_0.jpg",
        "maps/1/0/0/0_0.f32",
        "maps/0/7/0/0_0.f32",
        "maps/0/0/5/0_0.f32",
        "maps/0/x/percentiles.json",
        "samples/1/spots.json",
        "samples/0/genes/2.f32",
        "etc/passwd",
        "server.py",
        "__init__.py",
        "regions",
    ],
)
def test_what_is_not_there_is_not_found(client: TestClient, address: str) -> None:
    assert client.get(f"/{address}").status_code in (404, 405)


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%252e%252e/etc/passwd",
        "//etc/passwd",
        "/..\\..\\etc\\passwd",
        "/page/../server.py",
        "/maps/0/..%2f..%2fzarr.json/0/0_0.f32",
        "/maps/0/%2e%2e/percentiles.json",
        "/slide/10/../../scene.py",
        "/file:///etc/passwd",
        "/link.js",
        "/scene.json%00.js",
    ],
)
def test_no_path_reaches_the_file_system(
    client: TestClient, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link.js").symlink_to("/etc/passwd")
    monkeypatch.chdir(tmp_path)
    opened: list[object] = []
    monkeypatch.setattr("builtins.open", lambda *args, **_: opened.append(args))
    monkeypatch.setattr(Path, "open", lambda *args, **_: opened.append(args))
    assert anyio.run(status_of, client, path) == 404
    assert opened == []


async def status_of(client: TestClient, path: str) -> int:
    """Ask as a server would that got these very bytes; a client would tidy the path up."""
    answers: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
    }
    await client.app(scope, receive, send)
    return int(answers[0]["status"])


def test_every_answer_carries_the_policy_without_inline_script(client: TestClient) -> None:
    for address in ("/", "/scene.json", "/nothing", "/slide/10/0_0.jpg"):
        headers = client.get(address).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_another_name_for_this_machine_is_refused(client: TestClient) -> None:
    assert client.get("/", headers={"host": "evil.example:8765"}).status_code == 421
    assert client.get("/", headers={"host": "localhost:1"}).status_code == 200


def test_beyond_loopback_a_token_is_asked_for_and_kept_in_a_cookie(scene: Scene) -> None:
    outside = TestClient(application(scene, hosts=None, token="secret"), base_url="http://node7:8765")
    assert outside.get("/").status_code == 403
    assert outside.get("/scene.json?token=wrong").status_code == 403
    assert outside.post("/regions", content=b"{}").status_code == 403
    assert outside.get("/", headers={"cookie": "miso-view=wrong"}).status_code == 403
    answer = outside.get("/?token=secret", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert outside.get("/scene.json").status_code == 200  # the client keeps it


def ask(client: TestClient, **body: object) -> tuple[int, dict[str, object]]:
    answer = client.post("/regions", content=json.dumps(body))
    return answer.status_code, answer.json()


def test_the_means_of_a_region_are_those_of_its_cells(
    client: TestClient, planes: NDArray[np.float32]
) -> None:
    status, said = ask(client, map=0, polygon=[[20, 100], [60, 100], [60, 140], [20, 140]])
    assert status == 200
    assert said["area_um2"] == pytest.approx(400)
    assert said["covered"] == pytest.approx(0.5)  # up to x = 40 px nothing was seen
    np.testing.assert_allclose(said["means"], planes[:, 50:70, 20:30].mean(axis=(1, 2)), rtol=1e-5)  # type: ignore[arg-type]


def test_a_region_of_glass_has_no_means(client: TestClient) -> None:
    assert ask(client, map=0, polygon=[[0, 0], [30, 0], [0, 30]])[1]["means"] == [None] * 3


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"map": 7, "polygon": [[0, 0], [9, 0], [0, 9]]}, "no map 7"),
        ({"map": 0, "polygon": [[0, 0], [9, 0]]}, "at least three"),
        ({"map": 0, "polygon": [[0, 0], [9, 0], [18, 0]]}, "no area"),
        ({"map": 0, "polygon": [[0, 0], [9, 0], [0, 1e12]]}, "impossible"),
        ({"map": 0, "polygon": [[9000, 9000], [9009, 9000], [9000, 9009]]}, "off the slide"),
        ({"map": 0, "polygon": "x"}, "a region is"),
        ({"map": "../x", "polygon": [[0, 0], [9, 0], [0, 9]]}, "a region is"),
        ({"polygon": []}, "a region is JSON"),
    ],
)
def test_what_is_no_region_is_refused_in_a_line(
    client: TestClient, body: dict[str, object], why: str
) -> None:
    status, said = ask(client, **body)
    assert status == 422
    assert why in str(said["error"])


def test_a_body_that_is_no_json_or_too_long_is_refused(client: TestClient) -> None:
    assert client.post("/regions", content=b"[" * 100_000).status_code == 422
    assert client.post("/regions", content=b"\xff").status_code == 422
    assert client.post("/regions", content=b" " * (MOST_BYTES + 1)).status_code == 413


def test_a_damaged_map_is_said_and_the_server_goes_on(
    client: TestClient, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for chunk in (scene.maps[0].map.path / "expression").rglob("c/*/*/*"):
        chunk.write_bytes(b"spoilt")
    answer = client.get("/maps/0/0/0/0_0.f32")
    assert answer.status_code == 500
    assert "is damaged" in answer.text
    assert client.get("/scene.json").status_code == 200
