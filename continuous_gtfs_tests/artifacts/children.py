"""What the artifact tests run in processes of their own: writers that race, fail or die."""

from __future__ import annotations

import os
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from continuous_gtfs.artifacts.local import LocalStore
from continuous_gtfs.artifacts.publication import Publisher
from continuous_gtfs.errors import StoreError
from continuous_gtfs_tests.artifacts.publishing import publish_numbered
from continuous_gtfs_tests.artifacts.store_contract import count_up

NOBODY = 65534


def children(count: int = 1) -> ProcessPoolExecutor:
    """Fresh interpreters, so that nothing of this process (locks, umask, limits) is shared with them."""
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))


def count_in_child(root: Path, key: str, times: int) -> None:
    count_up(LocalStore(root), key, times=times)


def publish_in_child(root: Path, name: str, numbers: list[int]) -> list[str]:
    publisher = Publisher(LocalStore(root))
    return [publish_numbered(publisher, name, number).outcome for number in numbers]


def put_with_umask(root: Path, key: str, umask: int) -> None:
    os.umask(umask)
    LocalStore(root).replace(key, b"data", if_generation=None, content_type="text/plain")


def replace_with_file_size_limit(root: Path, key: str, size: int, limit: int) -> str:
    """The message of the StoreError; the limit makes the system refuse the write half way."""
    store = LocalStore(root)
    info = store.stat(key)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        store.replace(key, b"x" * size, if_generation=info.generation if info else None, content_type="text/plain")
    except StoreError as error:
        return str(error)
    return "no error"


def publish_with_file_size_limit(root: Path, name: str, number: int, size: int, limit: int) -> str:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        publish_numbered(Publisher(LocalStore(root)), name, number, size=size)
    except StoreError as error:
        return str(error)
    return "no error"


def replace_as_nobody(root: Path, key: str) -> str:
    """The message of the StoreError of a user who may read the store but not write to it."""
    store = LocalStore(root)
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    info = store.stat(key)
    try:
        store.replace(key, b"new", if_generation=info.generation if info else None, content_type="text/plain")
    except StoreError as error:
        return str(error)
    return "no error"


def replace_and_die(root: Path, key: str, data: bytes, event: str, nth: int) -> None:
    """Die without any clean-up just before the nth system call that Python's audit reports as ``event``."""
    store = LocalStore(root)
    info = store.stat(key)
    seen = 0

    def die(happening: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if happening == event:
            seen += 1
            if seen == nth:
                os._exit(9)

    sys.addaudithook(die)
    store.replace(
        key, data, if_generation=info.generation if info else None, content_type="text/new", cache_control="new"
    )


def replace_for_ever(root: Path, key: str, started: str) -> None:
    store = LocalStore(root)
    info = store.stat(key)
    generation = info.generation if info else None
    number = 0
    while True:
        number += 1
        data = b"%d " % number * 20_000
        generation = store.replace(key, data, if_generation=generation, content_type="text/plain").generation
        Path(started).touch()
