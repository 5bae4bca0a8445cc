"""The extraction pipeline on the machines of a Ray cluster.

Each worker is an actor that holds the networks and runs a local engine on a few clips
at a time; outcomes come back one by one as clips are finished, and whoever started the
run writes them. So the machines need to read the videos and the models under the same
paths, and nobody but the starter needs to write. The clips of a worker that is lost go
to another one, one by one from then on: a clip that takes three workers with it is
given up, alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from finediving_pose.console import log
from finediving_pose.errors import EnvironmentUnfit
from finediving_pose.extraction.clip_job import Outcome
from finediving_pose.extraction.engine import Equipment
from finediving_pose.extraction.loading import Task

ATTEMPTS = 3
"""How often a clip may lose its worker."""
CLIPS_AT_ONCE = 8
"""Clips given to a worker in one go: its batches run empty once for each."""
PATIENCE = 120.0
"""Seconds to wait for a worker where there is none, such as while a node starts."""
INSTALL_HINT = "pip install 'fdpose[ray]'"


@dataclass(frozen=True)
class Need:
    """Resources that one worker takes of a node; Ray starts no more than fit."""

    gpus: float = 0.0
    cpus: float = 1.0


@dataclass
class _Worker:
    """An actor, and what it is busy with.

    Attributes:
        actor: Ray's handle.
        ready: Becomes ready with the actor's identity once it has its networks.
        started: Whether it is.
        stream: Outcomes of what it works on; None = idle.
        tasks: What it has not answered of that, in order.
    """

    actor: Any
    ready: Any
    started: bool = False
    stream: Any = None
    tasks: list[Task] = field(default_factory=list)


class RayEngine:
    """Extracts clips on many machines.

    Args:
        equip: Makes a worker's equipment, on the worker; must be picklable.
        address: Of a running cluster, such as ``auto`` or ``ray://head:10001``; None
            starts one on this machine.
        workers: How many; 0 = as many as fit, by `need`, on the nodes there are at the
            start.
        need: What each takes; None: a processor core, and a GPU where the cluster has
            any.
        patience: Seconds to wait where there is no worker.

    Raises:
        EnvironmentUnfit: If Ray is not installed, or the cluster does not answer.
    """

    def __init__(
        self,
        equip: Callable[[], Equipment],
        address: str | None = None,
        workers: int = 0,
        need: Need | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._ray = _connect(address)
        self._equip, self._patience = equip, patience
        if need is None:
            has_gpus = self._ray.cluster_resources().get("GPU", 0) > 0
            need = Need(gpus=float(has_gpus))
        self._need = need
        self._workers: list[_Worker] = []
        self._waiting: deque[list[Task]] = deque()
        self._attempts: dict[str, int] = {}
        self._identity: Mapping[str, Any] | None = None
        for _ in range(workers or self._count_fitting()):
            self._hire()

    @property
    def identity(self) -> Mapping[str, Any]:
        """Identity of the networks; waits for the first worker to load them.

        Raises:
            EnvironmentUnfit: If no worker starts in time, or its networks cannot be
                loaded there.
        """
        while self._identity is None:
            self._await_start()
        return self._identity

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        """Give the outcome of each task as soon as it is known. Leaving the iteration
        early stops the workers.

        Raises:
            EnvironmentUnfit: If all workers are lost and none comes back in time.
        """
        source = _group_tasks(tasks)
        try:
            more = True
            while more or self._waiting or self._list_busy():
                more = self._hand_out(source) and more
                if not any(worker.started for worker in self._workers):
                    self._await_start()
                    continue
                for worker in self._wait_for_news():
                    yield from self._listen(worker)
        finally:
            self.close()

    def close(self) -> None:
        """Stop the workers."""
        for worker in self._workers:
            self._ray.kill(worker.actor)
        self._workers = []

    def _count_fitting(self) -> int:
        total = self._ray.cluster_resources()
        cpus, gpus = total.get("CPU", 0), total.get("GPU", 0)
        need = self._need
        fits = []
        if need.cpus:
            fits.append(cpus // need.cpus)
        if need.gpus:
            fits.append(gpus // need.gpus)
        if not fits:
            return 1
        count = int(min(fits))
        if not count:
            raise EnvironmentUnfit(
                f"the Ray cluster has {cpus:g} CPUs and {gpus:g} GPUs, and "
                f"one worker takes {need.cpus:g} and {need.gpus:g}"
            )
        return count

    def _list_busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.tasks]

    def _hire(self) -> None:
        actor_class = self._ray.remote(
            num_cpus=self._need.cpus, num_gpus=self._need.gpus
        )(_Actor)
        actor = actor_class.remote(self._equip)
        self._workers.append(_Worker(actor, actor.identity.remote()))

    def _await_start(self) -> None:
        """Wait until a worker has loaded its networks."""
        from ray.exceptions import RayActorError, RayTaskError

        waiting = {
            worker.ready: worker for worker in self._workers if not worker.started
        }
        ready, _ = self._ray.wait(list(waiting), timeout=self._patience)
        if not ready:
            raise EnvironmentUnfit(
                f"no Ray worker started within {self._patience:.0f} s: the cluster has no room for one; "
                "`ray status` shows what is taken"
            )
        worker = waiting[ready[0]]
        try:
            identity = self._ray.get(ready[0])
        except RayTaskError as error:
            raise EnvironmentUnfit(
                f"a Ray worker cannot load the networks: {error.cause or error}"
            ) from error
        except RayActorError as error:
            if error.actor_init_failed:
                raise EnvironmentUnfit(
                    f"a Ray worker cannot load the networks: {_last_line(error)}"
                ) from error
            self._replace(worker, error)
            return
        # One output folder must not hold the results of two sets of weights.
        if self._identity is not None and identity != self._identity:
            raise EnvironmentUnfit(
                "a Ray worker has other weights under the same path than the first one; use shared storage, or the "
                "same files on all machines"
            )
        self._identity, worker.started = identity, True

    def _hand_out(self, source: Iterator[list[Task]]) -> bool:
        """Give work to idle workers; return whether there may be more in the source."""
        for worker in self._workers:
            if worker.started and not worker.tasks:
                group: list[Task] | None
                if self._waiting:
                    group = self._waiting.popleft()
                else:
                    group = next(source, None)
                if group is None:
                    return False
                worker.tasks = list(group)
                worker.stream = worker.actor.run.options(
                    num_returns="streaming"
                ).remote(group)
        return True

    def _wait_for_news(self) -> list[_Worker]:
        """Return workers with an outcome, after a moment at most; notice those that
        have started meanwhile."""
        starting = [worker.ready for worker in self._workers if not worker.started]
        if starting and self._ray.wait(starting, timeout=0)[0]:
            self._await_start()
        busy = {worker.stream: worker for worker in self._list_busy()}
        if not busy:
            time.sleep(0.01)
            return []
        news, _ = self._ray.wait(list(busy), timeout=1.0)
        return [busy[stream] for stream in news]

    def _listen(self, worker: _Worker) -> Iterator[Outcome]:
        """Give the next outcome of a worker; if it is lost, its unanswered clips wait
        for another one."""
        from ray.exceptions import RayError

        try:
            outcome: Outcome = self._ray.get(next(worker.stream))
        except StopIteration:
            worker.tasks, worker.stream = [], None
        except RayError as error:
            yield from self._lose(worker, error)
        else:
            worker.tasks = [
                task for task in worker.tasks if task.clip != outcome.task.clip
            ]
            yield outcome

    def _lose(self, worker: _Worker, error: Exception) -> Iterator[Outcome]:
        """Give the clips of a lost worker to others, one by one; give up the one that
        takes every worker with it."""
        log.warning(
            "lost a Ray worker (%s); its %d unfinished clips go to another",
            _last_line(error),
            len(worker.tasks),
        )
        for task in worker.tasks:
            attempts = self._attempts.get(task.clip.key, 0) + 1
            self._attempts[task.clip.key] = attempts
            if attempts < ATTEMPTS:
                # Alone from now on, so that it takes no other clip with it.
                self._waiting.append([task])
            else:
                reason = f"{attempts} workers were lost while they worked on it: {_last_line(error)}"
                yield Outcome(task, reason=reason)
        self._replace(worker, error)

    def _replace(self, worker: _Worker, error: Exception) -> None:
        self._workers.remove(worker)
        # It is gone; where it is only confused, it must not go on.
        with suppress(Exception):
            self._ray.kill(worker.actor)
        log.info(
            "starting another Ray worker in place of one that ended: %s",
            _last_line(error),
        )
        self._hire()


class _Actor:
    """Holds the networks on a worker and runs its local engine."""

    def __init__(self, equip: Callable[[], Equipment]) -> None:
        self._equipment = equip()

    def identity(self) -> Mapping[str, Any]:
        return dict(self._equipment.identity)

    def run(self, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        yield from self._equipment.engine.run(tasks)


def _connect(address: str | None) -> Any:
    try:
        import ray
    except ImportError:
        raise EnvironmentUnfit(
            f"--engine ray needs Ray, which is not installed. Install: {INSTALL_HINT}"
        ) from None
    if not ray.is_initialized():
        try:
            ray.init(
                address=address,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = address or "this machine"
            raise EnvironmentUnfit(
                f"no Ray cluster answers at {where}: {_last_line(error)}"
            ) from error
    return ray


def _group_tasks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    # Read lazily: the source tells which clips are done only when it comes to them.
    group: list[Task] = []
    for task in tasks:
        group.append(task)
        if len(group) == CLIPS_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _last_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
