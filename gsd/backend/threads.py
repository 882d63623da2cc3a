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
    """GSD_THREADS, else torch's number of threads, at most the CPUs of the process; 1 below `WORTH_A_THREAD` items.

    For so few Gaussians or samples, handing work to another thread costs more than it saves. Results do not depend on
    the number of threads.
    """
    wanted = os.environ.get("GSD_THREADS")
    if wanted:
        if not (wanted.isascii() and wanted.isdigit() and 1 <= int(wanted[:5]) <= 1024):
            raise GsdError(f"GSD_THREADS is {wanted!r}; set it to a whole number from 1 to 1024, or unset it.")
        return int(wanted)
    if count < WORTH_A_THREAD:
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(torch.get_num_threads(), usable)


def each(task: Callable[[int], None], count: int, threads: int) -> None:
    """Run task(0) ... task(count - 1) on up to `threads` threads, the caller included, each taken by a free thread.

    A helper that starts late costs little, and one that has not started when no task is left is not waited for.
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
