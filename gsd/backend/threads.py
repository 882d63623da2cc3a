"""Threads for compiled kernels, which run without the interpreter's lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from gsd.errors import GsdError

WORTH_A_THREAD = 4000  # items of work from which a task is worth a thread of its own

_pools: dict[int, ThreadPoolExecutor] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # the threads of a pool do not survive a fork


def default_threads(count: int) -> int:
    """GSD_THREADS, else torch's number of threads, but never more than the process may use; 1 for little work.

    Handing a task to another thread costs more than it saves below `WORTH_A_THREAD` Gaussians or samples; the result is
    the same.
    """
    wanted = os.environ.get("GSD_THREADS")
    if wanted:
        if not wanted.isdigit() or int(wanted) < 1:
            raise GsdError(f"GSD_THREADS is {wanted!r}; set it to a whole number from 1 on, or unset it.")
        return int(wanted)
    if count < WORTH_A_THREAD:
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(torch.get_num_threads(), usable)


def each(task: Callable[[int], None], count: int, threads: int) -> None:
    """task(0) ... task(count - 1), each taken by whichever of the threads is free; the caller is one of them.

    A helper that wakes late so costs little, and one that has not woken when nothing is left is not waited for.
    """
    left = deque(range(count))

    def work() -> None:
        while left:
            try:
                i = left.popleft()
            except IndexError:  # another thread was faster
                return
            task(i)

    helpers = min(threads, count) - 1
    if helpers > 0 and helpers not in _pools:
        _pools[helpers] = ThreadPoolExecutor(helpers, "gsd")
    helping = [_pools[helpers].submit(work) for _ in range(helpers)]
    work()
    for future in helping:
        if not future.cancel():
            future.result()
