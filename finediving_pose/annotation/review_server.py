"""Server of the review page: a :class:`ReviewDesk` behind HTTP on this computer alone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from finediving_pose import console
from finediving_pose.annotation.review_connections import ImpatientProtocol
from finediving_pose.annotation.review_guard import PICTURE_PATH, Guard, name_cookie
from finediving_pose.annotation.review_images import (
    MAX_SIDE,
    STRIP_SIDE,
    read_image_file,
)
from finediving_pose.annotation.review_state import (
    TO_REVIEW,
    Conflict,
    ReviewDesk,
    State,
)
from finediving_pose.annotation.review_views import (
    CheckRequest,
    DecisionRequest,
    DiveViews,
    DraftRequest,
    PresenceRequest,
    build_item_view,
    build_queue_view,
    build_skeleton_view,
    check_edited_label,
    parse_label,
)
from finediving_pose.config import find_nearest_name
from finediving_pose.errors import DataError, FdposeError, UsageError

HOST = "127.0.0.1"

# After so long a tab that does not say what it shows is taken for closed.
_AWAY_SECONDS = 20.0
_STATES_SECONDS = 2.0  # how old the queue may be
# Times what a look at all files takes: it may be so old where there are very many.
_STATES_SHARE = 20.0
_MEDIA_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class ReviewSetup:
    """Inputs of a review page.

    Attributes:
        desk: The review.
        reviewers: Who may review; the page asks who it is where there are several.
        assigned: The images that a reviewer is to look at first.
        title: The project's name.
        project: Tells projects apart in a browser's storage.
        token: See :func:`review_guard.new_token`.
    """

    desk: ReviewDesk
    reviewers: Sequence[str]
    assigned: Callable[[str], Collection[str]]
    title: str
    project: str
    token: str


def make_app(setup: ReviewSetup) -> Any:
    """Return the ASGI application of a review."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    _add_page(app, setup)
    board = _Board(setup.desk)
    _add_reading(app, setup, board, _Presence())
    _add_writing(app, setup, board)
    _add_errors(app)
    return Guard(app, setup.token)


def listen(port: int) -> socket.socket:
    """Return a socket that listens on this computer alone; port 0: any that is free.

    Raises:
        UsageError: If the port is taken or not to be had.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, *_ALONE)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"port {port} of {HOST} is not free ({error.strerror or error}): another "
            "`fdpose review` runs, or another program; --port N takes another one, "
            "--port 0 any"
        ) from None
    return listener


# Windows lets a second program take a port unless it is said to be ours alone;
# elsewhere the port of a server that has just ended may be taken again at once.
_ALONE = (getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR), 1)


def serve(app: Any, listener: socket.socket) -> None:
    """Answer until Ctrl+C, which is raised again when everything that was under way is
    done.

    Args:
        app: As of :func:`make_app`.
        listener: As of :func:`listen`.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        # What goes wrong in an answer is logged by the guard, in one line.
        log_level="critical",
        access_log=False,
        lifespan="off",
        http=ImpatientProtocol,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[listener])


class _Board:
    """The states of all images. Nobody waits for them: a look at thousands of files is
    made beside the answers."""

    def __init__(self, desk: ReviewDesk) -> None:
        self._desk, self._lock = desk, threading.Lock()
        self._states: dict[str, State] = {}
        self._version, self._looking, self._until = 0, False, 0.0
        self._look()

    def read_states(self) -> tuple[dict[str, State], int]:
        """Return the states as they were a moment ago, and a number that changes with
        them."""
        with self._lock:
            if not self._looking and time.monotonic() >= self._until:
                self._looking = True
                threading.Thread(target=self._look, daemon=True).start()
            return self._states, self._version

    def update(self, image: str) -> State:
        """Look at one image at once, and return its state."""
        state = self._desk.read_state(image)
        with self._lock:
            self._states = {**self._states, image: state}
            self._version += 1
        return state

    def _look(self) -> None:
        started, version = time.monotonic(), self._version
        try:
            states = self._desk.read_states()
        except (OSError, FdposeError) as error:
            # Such as a shared folder that is away for a moment.
            console.log.warning("the labels cannot be looked at: %s", error)
            states = self._states
        with self._lock:
            self._looking = False
            now = time.monotonic()
            self._until = now + max(_STATES_SECONDS, _STATES_SHARE * (now - started))
            if version != self._version:
                # A decision came meanwhile, which this look may not have seen.
                self._until = now
            elif version == 0 or states != self._states:
                self._states, self._version = states, version + 1


class _Tab(NamedTuple):
    """What a browser's tab shows, and when it said so."""

    who: str
    image: str | None
    at: float


@dataclass
class _Presence:
    """The images that reviewers look at, as their tabs say it every few seconds."""

    tabs: dict[str, _Tab] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self, report: PresenceRequest) -> list[dict[str, str]]:
        """Note one tab and return what other reviewers look at."""
        with self.lock:
            now = time.monotonic()
            self.tabs[report.client] = _Tab(report.reviewer, report.image, now)
            for client, tab in list(self.tabs.items()):
                if now - tab.at >= _AWAY_SECONDS:
                    del self.tabs[client]
            others = set()
            for tab in self.tabs.values():
                if tab.image and tab.who != report.reviewer:
                    others.add((tab.who, tab.image))
        return [{"who": who, "image": image} for who, image in sorted(others)]


def _add_page(app: FastAPI, setup: ReviewSetup) -> None:
    web = resources.files("finediving_pose.annotation") / "web"
    files = {}
    for entry in web.iterdir():
        if entry.is_file():
            files[entry.name] = entry.read_bytes()

    def send_file(name: str) -> Response:
        media_type = _MEDIA_TYPES[name[name.rindex(".") :]]
        headers = {"cache-control": "no-cache"}
        return Response(files[name], media_type=media_type, headers=headers)

    @app.get("/")
    def page() -> Response:
        response = send_file("index.html")
        response.set_cookie(
            name_cookie(setup.token),
            setup.token,
            httponly=True,
            samesite="strict",
            path=PICTURE_PATH,
        )
        return response

    @app.get("/web/{name}")
    def program(name: str) -> Response:
        return send_file(name) if name in files else Response("no such file", 404)


def _add_reading(
    app: FastAPI, setup: ReviewSetup, board: _Board, presence: _Presence
) -> None:
    desk = setup.desk

    @app.get("/api/session")
    def session() -> dict[str, Any]:
        return {
            "title": setup.title,
            "project": setup.project,
            "reviewers": list(setup.reviewers),
            "to_review": list(TO_REVIEW),
            "allow_own": desk.allow_own,
            **build_skeleton_view(),
        }

    @app.get("/api/queue")
    def queue(reviewer: str) -> dict[str, Any]:
        states, version = board.read_states()
        assigned = setup.assigned(_check_reviewer(setup, reviewer))
        return {"version": version, "rows": build_queue_view(states, assigned)}

    @app.get("/api/item")
    def item(image: str, reviewer: str) -> dict[str, Any]:
        label_name = desk.frame(image).label_name
        draft = desk.store.read_draft(_check_reviewer(setup, reviewer), label_name)
        return build_item_view(desk.read_item(image), draft)

    dives = DiveViews(desk)

    @app.get("/api/dive")
    def dive(image: str) -> dict[str, Any]:
        return dives.view(image)

    @app.post("/api/check")
    def check(request: CheckRequest) -> dict[str, Any]:
        return {"findings": check_edited_label(desk, request.image, request.label)}

    @app.get(PICTURE_PATH)
    def picture(
        request: Request, image: str, sha256: str = "", strip: bool = False
    ) -> Response:
        path = desk.store.frames / desk.frame(image).image
        found = read_image_file(path, STRIP_SIDE if strip else MAX_SIDE)
        tag = f'"{found.sha256}-strip"' if strip else f'"{found.sha256}"'
        # An address that names the hash always means the same bytes.
        caching = "no-cache"
        if found.sha256 == sha256:
            caching = "private, max-age=31536000, immutable"
        headers = {"etag": tag, "cache-control": caching}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)

    @app.post("/api/presence")
    def present(request: PresenceRequest) -> dict[str, Any]:
        _check_reviewer(setup, request.reviewer)
        here = None
        if request.image is not None:
            state = desk.read_state(request.image)
            here = {
                "seen": state.files,
                "decisions": desk.count_decisions(request.image),
            }
        return {
            "others": presence.update(request),
            "version": board.read_states()[1],
            "here": here,
        }


def _add_writing(app: FastAPI, setup: ReviewSetup, board: _Board) -> None:
    desk = setup.desk

    @app.post("/api/draft")
    def keep_draft(request: DraftRequest) -> dict[str, Any]:
        reviewer = _check_reviewer(setup, request.reviewer)
        label_name = desk.frame(request.image).label_name
        if request.draft is None:
            desk.store.drop_draft(reviewer, label_name)
        else:
            draft = request.draft.model_dump(mode="json")
            desk.store.write_draft(reviewer, label_name, draft)
        return {"kept": request.draft is not None}

    @app.post("/api/decision")
    def decide(request: DecisionRequest) -> dict[str, Any]:
        reviewer = _check_reviewer(setup, request.reviewer)
        known: dict[str, Any] = {"seen": request.seen, "decisions": request.decisions}
        about = (reviewer, request.image)
        if request.action == "return":
            desk.give_back(*about, request.comment, request.label, **known)
        elif request.action == "accept":
            if request.label is None:
                raise UsageError("which label is accepted?")
            desk.accept(
                *about, request.label, request.comment, confirm=request.confirm, **known
            )
        else:
            if request.corrected is None:
                raise UsageError("a correction without a label")
            frame = parse_label(request.corrected, desk.frame(request.image))
            _refuse_unconfirmed(desk, request)
            desk.correct(
                *about, frame, request.comment, based_on=request.label, **known
            )
        return {"state": board.update(request.image).kind}


def _refuse_unconfirmed(desk: ReviewDesk, request: DecisionRequest) -> None:
    """A correction of a few joints says nothing of the others that a model guessed."""
    if request.confirm:
        return
    for label in desk.read_item(request.image).labels:
        is_guess = label.frame is not None and label.frame.unconfirmed
        if label.name == request.label and is_guess:
            raise UsageError(
                f"{label.name} is a model's guess marked `unconfirmed`; look at every "
                "joint, then confirm it"
            )


def _check_reviewer(setup: ReviewSetup, reviewer: str) -> str:
    if reviewer not in setup.reviewers:
        raise UsageError(
            f"{reviewer!r} is no reviewer here{find_nearest_name(reviewer, setup.reviewers)}"
        )
    return reviewer


def _add_errors(app: FastAPI) -> None:
    def answer(status: int, message: str) -> JSONResponse:
        # A message may quote a request, which may hold halves of characters.
        sendable = message.encode("utf-8", "backslashreplace").decode("utf-8")
        return JSONResponse({"message": sendable}, status)

    @app.exception_handler(FdposeError)
    def refused(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, Conflict):
            return answer(409, str(error))
        if isinstance(error, DataError):
            return answer(422, str(error))
        return answer(400, str(error))

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return answer(400, f"{place}: {first['msg']}")

    @app.exception_handler(OSError)
    def unwritable(request: Request, error: Exception) -> JSONResponse:
        console.log.error("%s", error)
        return answer(500, f"the project's folder cannot be read or written: {error}")
