"""Connections of the review page: a client that stops amid something is not waited for."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import suppress

import pytest
import uvicorn
from helpers.made_review import make_project, running_review

from finediving_pose.annotation import review_connections, review_server
from finediving_pose.annotation.review_connections import ImpatientProtocol

HALVES = [
    b"",
    b"GET / HT",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{",
]


async def answer_slowly(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(1.0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"whole"})


@pytest.fixture
def port(monkeypatch):
    """Of a server that waits half a second for a request and a whole one to answer it."""
    monkeypatch.setattr(review_connections, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(review_connections, "LOOK_SECONDS", 0.05)
    config = uvicorn.Config(
        answer_slowly, http=ImpatientProtocol, lifespan="off", log_level="critical"
    )
    server = uvicorn.Server(config)
    listener = review_server.listen(0)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("half", HALVES)
def test_half_a_request_is_given_up(port, half):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(half)
        began = time.monotonic()
        with suppress(ConnectionResetError):
            assert client.recv(100) == b""
        assert time.monotonic() - began > 0.3


def test_an_answer_may_take_its_time(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += client.recv(1000)
        assert b"whole" in received


def test_the_review_ends_in_silence_whoever_is_connected(tmp_path):
    make_project(tmp_path)
    with running_review(tmp_path) as review:
        token = review.address.split("token=")[1]
        base = f"http://127.0.0.1:{review.port}"
        lines = [
            "POST /api/presence HTTP/1.1",
            f"Host: 127.0.0.1:{review.port}",
            f"Origin: {base}",
            f"x-fdpose-token: {token}",
            "Content-Length: 100",
        ]
        sent = [*HALVES, "\r\n".join([*lines, "", "{"]).encode()]
        clients = []
        for half in sent:
            client = socket.create_connection(("127.0.0.1", review.port))
            client.sendall(half)
            clients.append(client)
        time.sleep(0.3)
        assert review.interrupt() == 130
        for client in clients:
            client.close()
    log = (tmp_path / "review.log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log
