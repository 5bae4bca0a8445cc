"""The review page's server: who may talk to it, what it answers, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import cv2
import httpx
import numpy as np
import pytest
from helpers import made_labels
from helpers.made_review import make_project, running_review
from PIL import Image, ImageOps
from starlette.testclient import TestClient

from finediving_pose.annotation import review_images, review_log, review_server
from finediving_pose.annotation.review_guard import MAX_BODY, name_cookie
from finediving_pose.annotation.review_images import (
    MAX_SIDE,
    STRIP_SIDE,
    read_image_file,
)
from finediving_pose.datasets.frame_manifest import write_frame_manifest
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import sha256_file

TOKEN = "the-token-of-this-start"
AS_JSON = {"content-type": "application/json"}
HOST = "http://127.0.0.1:8765"
ODD = "<script>alert(1)</script> \"quoted\" 'too' ../../etc/x 跳水 🤿"


@pytest.fixture
def images(tmp_path):
    rows = made_labels.make_frames(tmp_path)
    for row in rows[:3]:
        made_labels.annotate(tmp_path, "anna", row)
    return rows


@pytest.fixture
def desk(tmp_path, images):
    return made_labels.make_desk(tmp_path, images)


def make_client(desk, base=HOST, headers=None):
    setup = review_server.ReviewSetup(
        desk, ("ben", "carl"), lambda name: {"Meet/1/00002.jpg"}, "Meet", "p", TOKEN
    )
    sent = {"x-fdpose-token": TOKEN, "origin": base} if headers is None else headers
    return TestClient(
        review_server.make_app(setup),
        base_url=base,
        headers=sent,
        raise_server_exceptions=False,
    )


@pytest.fixture
def client(desk):
    return make_client(desk)


def item_of(client, image, reviewer="ben"):
    answer = client.get("/api/item", params={"image": image, "reviewer": reviewer})
    assert answer.status_code == 200, answer.text
    return answer.json()


def decision(item, action, reviewer="ben", **more):
    known = {"seen": item["seen"], "decisions": len(item["decisions"])}
    return {
        "reviewer": reviewer,
        "image": item["image"],
        "action": action,
        "label": item["newest"],
        "comment": "",
        **known,
        **more,
    }


def moved_label(item, x=33.0, y=44.0):
    label = json.loads(json.dumps(item["labels"][0]["label"]))
    label["joints"][0] = [x, y]
    return label


# ---- who may talk to it


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8765", "localhost:9000", "LOCALHOST", "127.0.0.1"]
)
def test_the_own_host_on_any_port_is_answered(desk, host):
    assert make_client(desk, f"http://{host}").get("/api/session").status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "localhost.evil:1",
        "[::1]",
        "0.0.0.0",
        "",
    ],
)
def test_another_host_is_refused_even_with_the_token(client, host):
    answer = client.get("/api/session", headers={"host": host})
    assert answer.status_code == 403
    assert "expected 127.0.0.1 or localhost" in answer.json()["message"]


@pytest.mark.parametrize(
    "path",
    ["/api/session", "/api/queue?reviewer=ben", "/api/picture?image=Meet/1/00000.jpg"],
)
@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", "跳水".encode()])
def test_nothing_is_told_without_the_token(desk, path, token):
    client = make_client(
        desk, headers={} if token is None else {"x-fdpose-token": token}
    )
    assert client.get(path).status_code == 403


def test_the_page_needs_the_token_in_its_address_and_says_so(desk):
    client = make_client(desk, headers={})
    refused = client.get("/?token=old")
    assert refused.status_code == 403
    assert refused.headers["content-type"].startswith("text/html")
    assert "This address does not open the review" in refused.text
    assert "<script" not in refused.text
    opened = client.get(f"/?token={TOKEN}")
    assert opened.status_code == 200
    assert TOKEN not in opened.text
    cookie = opened.headers["set-cookie"].lower()
    assert all(
        part in cookie for part in ("httponly", "samesite=strict", "path=/api/picture")
    )


def test_the_cookie_opens_pictures_and_nothing_else(desk, images):
    client = make_client(desk, headers={"cookie": f"{name_cookie(TOKEN)}={TOKEN}"})
    assert (
        client.get("/api/picture", params={"image": images[0].image}).status_code == 200
    )
    assert client.get("/api/session").status_code == 403
    assert client.get("/").status_code == 403


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", "https://127.0.0.1:8765", HOST + "0"],
)
def test_a_write_from_another_page_is_refused(desk, images, origin):
    headers = {"x-fdpose-token": TOKEN} | ({} if origin is None else {"origin": origin})
    item = item_of(make_client(desk), images[0].image)
    answer = make_client(desk, headers=headers).post(
        "/api/decision", json=decision(item, "accept")
    )
    assert answer.status_code == 403
    assert "Origin" in answer.json()["message"]
    assert review_log.read_decisions(desk.log) == []


def test_a_write_through_a_tunnel_is_taken(desk, images):
    """Behind ``ssh -L 9000:127.0.0.1:8765`` the browser says port 9000 in Host and
    Origin."""
    client = make_client(desk, "http://localhost:9000")
    assert (
        client.post(
            "/api/decision", json=decision(item_of(client, images[0].image), "accept")
        ).status_code
        == 200
    )


def test_a_request_that_is_too_large_is_refused(client, images):
    answer = client.post("/api/draft", content=b"x" * (MAX_BODY + 1))
    assert answer.status_code == 413
    assert (
        client.post("/api/draft", content=iter([b"{}"])).status_code == 413
    )  # it does not say how long it is


def test_every_answer_forbids_scripts_from_elsewhere(client):
    for path in ("/", "/web/review.js", "/api/session", "/api/nothing"):
        headers = client.get(path, params={"token": TOKEN}).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_the_page_holds_nothing_inline_and_nothing_from_the_net(client):
    page = client.get("/", params={"token": TOKEN}).text
    assert "style=" not in page
    assert "onclick" not in page
    assert page.count("<script") == page.count('<script type="module" src="/web/') == 1
    for name in ("review.js", "queue.js", "panel.js", "strip.js", "view.js"):
        program = client.get(f"/web/{name}").text
        assert "innerHTML" not in program
        assert "http://" not in program
        assert "https://" not in program


# ---- no path leads out


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/x",
        "../labels/anna/Meet__1/00000.json",
        "Meet/1/../1/00000.jpg",
        "/etc/passwd",
        "manifest.csv",
        "Meet/1/00000.jpg\0",
        "C:\\x",
        ODD,
    ],
)
def test_only_images_of_the_manifest_are_served(client, name):
    for path in ("/api/picture", "/api/item", "/api/dive"):
        answer = client.get(path, params={"image": name, "reviewer": "ben"})
        assert answer.status_code == 400, path
        assert "is no image of frames/manifest.csv" in answer.json()["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/web/../review_server.py",
        "/web/%2e%2e/review_server.py",
        "/web/x",
        "/etc/passwd",
    ],
)
def test_only_the_pages_own_files_are_served(client, path):
    assert client.get(path).status_code in {403, 404}


@pytest.mark.parametrize(
    "label",
    ["../../fdpose.yaml", "anna/../anna/00000.json", "anna/Meet__1/00001.json", ODD],
)
def test_a_label_of_another_image_or_place_is_no_label(client, desk, images, label):
    item = item_of(client, images[0].image)
    answer = client.post("/api/decision", json=decision(item, "accept", label=label))
    assert answer.status_code == 400
    assert review_log.read_decisions(desk.log) == []


@pytest.mark.parametrize("who", ["anna", "../../x", "", ODD])
def test_only_reviewers_review(client, images, who):
    item = item_of(client, images[0].image)
    answer = client.post("/api/decision", json=decision(item, "accept", reviewer=who))
    assert answer.status_code == 400
    assert "is no reviewer here" in answer.json()["message"]
    draft = {"reviewer": who, "image": images[0].image, "draft": None}
    assert client.post("/api/draft", json=draft).status_code == 400


def test_odd_names_and_words_travel_unharmed(tmp_path):
    images = made_labels.make_frames(tmp_path, dives=((ODD, "🤿 1"),), count=1)
    made_labels.annotate(tmp_path, "安娜 O'Neil", images[0])
    desk = made_labels.make_desk(tmp_path, images)
    client = make_client(desk)
    item = item_of(client, images[0].image)
    assert item["match"] == ODD
    assert item["labels"][0]["by"] == "安娜 O'Neil"
    assert (
        client.get("/api/picture", params={"image": images[0].image}).status_code == 200
    )
    assert (
        client.post(
            "/api/decision", json=decision(item, "return", comment=ODD)
        ).status_code
        == 200
    )
    assert item_of(client, images[0].image)["decisions"][0]["comment"] == ODD
    assert [path for path in tmp_path.rglob("*") if path.name == "x"] == []


# ---- what it answers


def test_the_queue_says_where_each_image_stands(client, images):
    rows = client.get("/api/queue", params={"reviewer": "ben"}).json()["rows"]
    assert rows[0] == [images[0].image, "labelled", ["anna"], False, ""]
    assert rows[2] == [images[2].image, "labelled", ["anna"], True, ""]
    assert rows[3] == [images[3].image, "unlabelled", [], False, ""]


def test_an_image_with_its_label(client, images):
    item = item_of(client, images[0].image)
    true = made_labels.label_of(images[0])
    label = item["labels"][0]
    assert (label["by"], label["revision"], item["newest"]) == (
        "anna",
        None,
        label["name"],
    )
    np.testing.assert_allclose(label["label"]["joints"], true.keypoints)
    np.testing.assert_allclose(label["label"]["box"], true.box)
    assert label["label"]["visibility"] == true.visibility.tolist()
    assert item["draft"] is None


def test_the_dive_has_its_frames_in_order_with_findings(tmp_path, client, desk, images):
    wrong = made_labels.label_of(images[1])
    keypoints = wrong.keypoints.copy()
    keypoints[9] = (1.0, 1.0)
    made_labels.annotate(
        tmp_path, "anna", images[1], made_labels.replace(wrong, keypoints=keypoints)
    )
    frames = client.get("/api/dive", params={"image": images[0].image}).json()["frames"]
    assert [frame["frame"] for frame in frames] == [0, 1, 2, 3]
    assert frames[3]["label"] is None
    assert {finding["joint"] for finding in frames[1]["findings"]} == {9}
    assert "outside the athlete's box" in frames[1]["findings"][0]["message"]
    item = item_of(client, images[1].image)
    edited = item["labels"][0]["label"]
    edited["joints"][9] = made_labels.label_of(images[1]).keypoints[9].tolist()
    answer = client.post("/api/check", json={"image": images[1].image, "label": edited})
    assert answer.json()["findings"] == []


def test_a_picture_is_kept_by_the_browser_as_long_as_it_is_the_same(
    tmp_path, client, images
):
    asked = {"image": images[0].image, "sha256": images[0].sha256}
    answer = client.get("/api/picture", params=asked)
    assert answer.content == (tmp_path / "frames" / images[0].image).read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    assert (
        client.get(
            "/api/picture",
            params=asked,
            headers={"if-none-match": answer.headers["etag"]},
        ).status_code
        == 304
    )
    (tmp_path / "frames" / images[0].image).write_bytes(
        (tmp_path / "frames" / images[1].image).read_bytes()
    )
    changed = client.get("/api/picture", params=asked)
    assert changed.headers["cache-control"] == "no-cache"
    assert (
        "is not the one that was chosen"
        in item_of(client, images[0].image)["picture_problem"]
    )


# ---- deciding


def test_accept_correct_and_send_back(tmp_path, client, desk, images):
    first = item_of(client, images[0].image)
    mine = tmp_path / "labels" / first["newest"]
    before = mine.read_bytes()
    assert (
        client.get("/api/queue", params={"reviewer": "ben"}).json()["rows"][0][1]
        == "labelled"
    )
    assert client.post("/api/decision", json=decision(first, "accept")).json() == {
        "state": "reviewed"
    }
    assert (
        client.get("/api/queue", params={"reviewer": "ben"}).json()["rows"][0][1]
        == "reviewed"
    )
    second = item_of(client, images[1].image)
    corrected = moved_label(second)
    corrected["joints"][5], corrected["visibility"][5], corrected["visibility"][6] = (
        None,
        0,
        1,
    )
    answer = client.post(
        "/api/decision",
        json=decision(second, "correct", corrected=corrected, comment="ankle"),
    )
    assert answer.status_code == 200, answer.text
    third = item_of(client, images[2].image)
    assert client.post(
        "/api/decision", json=decision(third, "return", comment="sides")
    ).json() == {"state": "returned"}
    assert [entry.action for entry in review_log.read_decisions(desk.log)] == [
        "accept",
        "correct",
        "return",
    ]
    newest = desk.read_item(images[1].image).newest
    assert newest.name == "revisions/Meet__1/00001.1.json"
    assert newest.frame.keypoints[0].tolist() == [33.0, 44.0]
    assert np.isnan(newest.frame.keypoints[5]).all()
    assert newest.frame.visibility[[5, 6]].tolist() == [0, 1]
    assert newest.origin["based_on"].keys() == {second["newest"]}
    assert mine.read_bytes() == before


def test_the_second_of_two_reviewers_gets_a_conflict(client, desk, images):
    item = item_of(client, images[0].image)
    assert (
        client.post(
            "/api/decision", json=decision(item, "accept", reviewer="carl")
        ).status_code
        == 200
    )
    answer = client.post(
        "/api/decision", json=decision(item, "correct", corrected=moved_label(item))
    )
    assert answer.status_code == 409
    assert "carl decided `accept`" in answer.json()["message"]
    assert desk.read_item(images[0].image).newest.name == item["newest"]


def test_a_label_that_changed_underneath_is_a_conflict(tmp_path, client, images):
    item = item_of(client, images[0].image)
    made_labels.annotate(
        tmp_path,
        "anna",
        images[0],
        made_labels.label_of(images[0], box=np.array([1.0, 1, 50, 50])),
    )
    answer = client.post("/api/decision", json=decision(item, "accept"))
    assert answer.status_code == 409
    assert "changed, after you looked" in answer.json()["message"]


def test_a_models_guess_must_be_confirmed(tmp_path, client, images):
    made_labels.annotate(
        tmp_path, "anna", images[0], made_labels.label_of(images[0], unconfirmed=True)
    )
    item = item_of(client, images[0].image)
    assert item["labels"][0]["unconfirmed"]
    for action in ("accept", "correct"):
        answer = client.post(
            "/api/decision", json=decision(item, action, corrected=moved_label(item))
        )
        assert answer.status_code == 400
        assert "look at every joint, then confirm it" in answer.json()["message"]
    confirmed = decision(item, "correct", corrected=moved_label(item), confirm=True)
    assert client.post("/api/decision", json=confirmed).status_code == 200
    newest = item_of(client, images[0].image)["labels"][-1]
    assert (newest["revision"], newest["unconfirmed"]) == (1, False)


@pytest.mark.parametrize(
    "broken",
    [
        {"joints": [[1, 2]] * 15},
        {"joints": [[float("inf"), 2.0]] + [[1, 2]] * 15},
        {"joints": [["1; drop", None]] * 16},
        {"visibility": [3] * 16},
        {"visibility": [True] * 16},
        {"visibility": [1.0] * 16},
        {"joints": [["1", "2"]] * 16},
        {"box": [1, 2, True, 9]},
        {"box": [1, 2, 3]},
        {"more": 1},
    ],
)
def test_a_label_that_is_none_is_refused(client, desk, images, broken):
    item = item_of(client, images[0].image)
    body = decision(item, "correct", corrected=moved_label(item) | broken)
    answer = client.post(
        "/api/decision",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 400
    assert "corrected" in answer.json()["message"]
    assert desk.read_item(images[0].image).decisions == ()


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://a]b["])
def test_an_origin_that_is_no_url_is_another_pages(client, desk, origin):
    answer = client.post("/api/presence", headers={"origin": origin}, json={})
    assert answer.status_code == 403
    assert "Origin" in answer.json()["message"]


@pytest.mark.parametrize(
    "broken",
    [
        {"seen": {"\ud800": "x"}},
        {"comment": "\ud800"},
        {"label": "\ud800"},
        {"image": "\ud800"},
        {"\ud800": 1},
        {"corrected": {"\ud800": 1}},
    ],
)
def test_half_a_character_is_refused_wherever_it_stands(client, desk, images, broken):
    body = decision(item_of(client, images[0].image), "accept") | broken
    answer = client.post("/api/decision", content=json.dumps(body), headers=AS_JSON)
    assert answer.status_code == 400
    assert "half a character" in answer.json()["message"]
    assert review_log.read_decisions(desk.log) == []


def test_half_a_character_in_a_draft_is_refused(client, images):
    item = item_of(client, images[0].image)
    draft = draft_of(item) | {"based_on": "\ud800"}
    sent = {"reviewer": "ben", "image": images[0].image, "draft": draft}
    answer = client.post("/api/draft", content=json.dumps(sent), headers=AS_JSON)
    assert answer.status_code == 400


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 40_000, '"\\ud800"'])
def test_a_body_that_is_no_request_is_refused(client, body):
    answer = client.post("/api/presence", content=body, headers=AS_JSON)
    assert answer.status_code == 400


def test_a_joint_outside_the_picture_is_refused(client, images):
    item = item_of(client, images[0].image)
    answer = client.post(
        "/api/decision",
        json=decision(item, "correct", corrected=moved_label(item, x=9999.0)),
    )
    assert answer.status_code == 400
    assert (
        "right_ankle at (9999, 44) lies outside the 455x256 image"
        in answer.json()["message"]
    )


def test_half_a_request_changes_nothing(client, desk, images):
    answer = client.post("/api/decision", content=b'{"reviewer": "ben", "image": "Mee')
    assert answer.status_code == 400
    assert review_log.read_decisions(desk.log) == []


# ---- drafts and presence


def draft_of(item, **more):
    known = {
        "seen": item["seen"],
        "decisions": len(item["decisions"]),
        "based_on": item["newest"],
    }
    return {
        "label": moved_label(item),
        "comment": ODD,
        "when": "2026-01-01T00:00:00.000Z",
        **known,
        **more,
    }


def test_a_draft_is_kept_for_its_reviewer_until_it_is_decided(client, images):
    item = item_of(client, images[0].image)
    sent = {"reviewer": "ben", "image": images[0].image, "draft": draft_of(item)}
    assert client.post("/api/draft", json=sent).json() == {"kept": True}
    kept = item_of(client, images[0].image)["draft"]
    assert kept["label"]["joints"][0] == [33.0, 44.0]
    assert kept["comment"] == ODD
    assert item_of(client, images[0].image, "carl")["draft"] is None
    corrected = decision(item, "correct", corrected=kept["label"])
    assert client.post("/api/decision", json=corrected).status_code == 200
    assert item_of(client, images[0].image)["draft"] is None
    client.post("/api/draft", json=sent)
    assert client.post("/api/draft", json=sent | {"draft": None}).json() == {
        "kept": False
    }
    assert item_of(client, images[0].image)["draft"] is None


def test_a_draft_of_another_making_is_left_alone(tmp_path, client, images):
    path = tmp_path / "labels" / "drafts" / "ben" / images[0].label_name
    path.parent.mkdir(parents=True)
    path.write_text('{"label": {"joints": "none"}}')
    assert item_of(client, images[0].image)["draft"] is None


def test_who_looks_at_the_same_image(client, images):
    def beat(who, client_id, image):
        return client.post(
            "/api/presence", json={"reviewer": who, "client": client_id, "image": image}
        ).json()

    assert beat("ben", "1", images[0].image)["others"] == []
    carl = beat("carl", "2", images[0].image)
    assert carl["others"] == [{"who": "ben", "image": images[0].image}]
    assert carl["here"]["decisions"] == 0
    assert carl["here"]["seen"] == item_of(client, images[0].image)["seen"]
    assert beat("ben", "1", None)["others"] == [
        {"who": "carl", "image": images[0].image}
    ]
    assert beat("carl", "2", images[0].image)["others"] == []


# ---- bad files


def test_half_a_label_file_is_shown_as_unusable(tmp_path, client, images):
    path = tmp_path / "labels" / "anna" / images[0].label_name
    path.write_bytes(path.read_bytes()[:200])
    item = item_of(client, images[0].image)
    assert item["state"]["kind"] == "unreadable"
    assert item["labels"][0]["label"] is None
    assert "no complete JSON" in item["labels"][0]["problems"][0]
    answer = client.post(
        "/api/decision", json=decision(item, "accept", label="anna/Meet__1/00000.json")
    )
    assert answer.status_code == 400
    assert "is no usable label" in answer.json()["message"]
    assert client.get("/api/dive", params={"image": images[0].image}).status_code == 200


def test_an_image_path_that_leads_elsewhere_is_told_and_not_followed(
    tmp_path, client, images
):
    path = tmp_path / "labels" / "anna" / images[0].label_name
    content = json.loads(path.read_text())
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"not yours")
    path.write_text(json.dumps(content | {"imagePath": str(secret)}))
    item = item_of(client, images[0].image)
    assert any(
        "which the file's place says" in problem
        for problem in item["labels"][0]["problems"]
    )
    assert (
        client.get("/api/picture", params={"image": item["image"]}).content
        != b"not yours"
    )


def test_a_picture_that_is_missing_or_none(tmp_path, client, images):
    path = tmp_path / "frames" / images[0].image
    path.write_bytes(b"no image")
    answer = client.get("/api/picture", params={"image": images[0].image})
    assert answer.status_code == 422
    assert "not readable as an image" in answer.json()["message"]
    path.unlink()
    assert (
        "no such image"
        in client.get("/api/picture", params={"image": images[0].image}).json()[
            "message"
        ]
    )
    assert (
        item_of(client, images[0].image)["picture_problem"]
        == "the image Meet/1/00000.jpg is missing"
    )


def test_a_picture_of_20000_pixels_is_scaled_and_its_label_is_not(tmp_path):
    row = made_labels.make_frames(tmp_path, count=1)[0]
    path = tmp_path / "frames" / row.image
    path.write_bytes(
        cv2.imencode(".jpg", np.full((2000, 20_000, 3), 90, np.uint8))[1].tobytes()
    )
    row = made_labels.replace(row, width=20_000, height=2000, sha256=sha256_file(path))
    write_frame_manifest(tmp_path / "frames" / "manifest.csv", [row])
    label = made_labels.label_of(row, size=(20_000, 2000))
    far = label.keypoints + np.array([19_000.0, 1000.0])
    made_labels.annotate(
        tmp_path,
        "anna",
        row,
        made_labels.replace(label, keypoints=far, box=label.box + 1000),
    )
    client = make_client(made_labels.make_desk(tmp_path, [row]))
    item = item_of(client, row.image)
    np.testing.assert_allclose(item["labels"][0]["label"]["joints"], far)
    for strip, side in ((False, MAX_SIDE), (True, STRIP_SIDE)):
        answer = client.get("/api/picture", params={"image": row.image, "strip": strip})
        assert Image.open(io.BytesIO(answer.content)).size == (side, round(side / 10))
    corrected = item["labels"][0]["label"]
    corrected["joints"][0] = [19_999.0, 1999.0]
    answer = client.post(
        "/api/decision", json=decision(item, "correct", corrected=corrected)
    )
    assert answer.status_code == 200, answer.text


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path):
    import struct
    import zlib

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    bomb = tmp_path / "bomb.jpg"
    bomb.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", b"")
        + chunk(b"IEND", b"")
    )
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(DataError, match=r"200000x200000 px, expected at most 200 Mpx"):
        read_image_file(bomb, MAX_SIDE)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_huge_pictures_are_decoded_one_after_the_other(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    Image.new("RGBA", (MAX_SIDE + 8, 16)).save(path)
    decoding, most = 0, 0
    really = ImageOps.exif_transpose

    def watch(image):
        nonlocal decoding, most
        decoding += 1
        most = max(most, decoding)
        time.sleep(0.05)
        decoding -= 1
        return really(image)

    monkeypatch.setattr(ImageOps, "exif_transpose", watch)
    with ThreadPoolExecutor(4) as pool:
        sides = [MAX_SIDE - number for number in range(4)]
        list(pool.map(lambda side: read_image_file(path, side), sides))
    assert most == 1


def test_a_file_of_gigabytes_is_no_picture(tmp_path):
    path = tmp_path / "image.jpg"
    with path.open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(DataError, match="8192 MB, expected an image file of at most"):
        read_image_file(path, MAX_SIDE)


def test_pillows_readers_that_start_other_programs_are_not_used(tmp_path):
    path = tmp_path / "image.jpg"
    Image.new("RGB", (30, 20)).save(path, "EPS")
    with pytest.raises(DataError, match="not readable as an image"):
        read_image_file(path, MAX_SIDE)


def test_pictures_that_were_sent_are_kept_up_to_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(review_images, "CACHED_BYTES", 5_000)
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), "u1")).save(
        path
    )
    assert path.stat().st_size > 5_000
    assert read_image_file(path, MAX_SIDE) is not read_image_file(path, MAX_SIDE)
    monkeypatch.setattr(review_images, "CACHED_BYTES", 50_000)
    assert read_image_file(path, MAX_SIDE) is read_image_file(path, MAX_SIDE)


def test_what_is_no_jpeg_or_png_is_sent_as_one(tmp_path):
    path = tmp_path / "image.jpg"
    Image.new("RGB", (30, 20)).save(path, "BMP")
    found = read_image_file(path, MAX_SIDE)
    assert found.media_type == "image/jpeg"
    assert Image.open(io.BytesIO(found.content)).size == (30, 20)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "x")
    with pytest.raises(DataError, match=r"not readable as an image"):
        read_image_file(path, MAX_SIDE)


def test_a_folder_that_cannot_be_written_is_said(client, desk, images, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(desk.store, "write_draft", full)
    item = item_of(client, images[0].image)
    answer = client.post(
        "/api/draft",
        json={"reviewer": "ben", "image": images[0].image, "draft": draft_of(item)},
    )
    assert answer.status_code == 500
    assert "No space left on device" in answer.json()["message"]


def test_an_internal_error_is_one_line_and_the_next_request_is_answered(
    client, desk, images, monkeypatch, caplog
):
    with monkeypatch.context() as broken:
        broken.setattr(desk, "read_item", lambda image: 1 / 0)
        answer = client.get(
            "/api/item", params={"image": images[0].image, "reviewer": "ben"}
        )
    assert answer.status_code == 500
    assert caplog.messages == [
        "internal error at /api/item: ZeroDivisionError: division by zero"
    ]
    assert "default-src" in answer.headers["content-security-policy"]
    item_of(client, images[0].image)


def keep_saving(client, image):
    while True:
        item = item_of(client, image, "carl")
        corrected = moved_label(item, x=30.0 + len(item["decisions"]) / 100)
        sent = {"reviewer": "carl", "image": image, "draft": draft_of(item)}
        assert client.post("/api/draft", json=sent).status_code == 200
        body = decision(item, "correct", "carl", corrected=corrected)
        assert client.post("/api/decision", json=body).status_code == 200


@pytest.mark.parametrize("seconds", [0.1, 0.25, 0.4])
def test_killed_amid_saves_every_file_is_whole(tmp_path, seconds):
    """kill -9 while corrections follow one another: each is there whole or not at all."""
    images = make_project(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "labels").rglob("*.json")}
    with running_review(tmp_path) as review:
        base = f"http://127.0.0.1:{review.port}"
        headers = {"x-fdpose-token": review.address.split("token=")[1], "origin": base}
        with httpx.Client(base_url=base, headers=headers, timeout=60) as client:
            killer = threading.Timer(seconds, review.process.kill)
            item_of(client, images[0].image, "carl")
            killer.start()
            with pytest.raises(httpx.TransportError):
                keep_saving(client, images[0].image)
            killer.join()
    assert {path: path.read_bytes() for path in before} == before
    desk = made_labels.make_desk(tmp_path, images)
    found = desk.read_item(images[0].image)
    assert all(label.frame is not None for label in found.labels)
    revised = [label for label in found.labels if label.name.startswith("revisions/")]
    assert len(found.decisions) <= len(revised) <= len(found.decisions) + 1
    stored = {label.name: label.sha256 for label in revised}
    assert all(stored[entry.label] == entry.label_sha256 for entry in found.decisions)
    draft = tmp_path / "labels/drafts/carl" / images[0].label_name
    assert not draft.exists() or json.loads(draft.read_text())["comment"] == ODD
    for lock in (tmp_path / "labels").rglob("*.lock"):
        os.utime(
            lock, (0, 0)
        )  # as after half a minute, when a dead one's lock is taken over
    desk.correct("dora", images[0].image, made_labels.label_of(images[0]))


def test_a_port_that_is_taken_is_said():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            UsageError,
            match=rf"port {port} of 127\.0\.0\.1 is not free .*--port N takes another one",
        ):
            review_server.listen(port)
    with review_server.listen(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
