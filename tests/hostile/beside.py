"""A good client beside an attack of strangers: its latency alone and beside it, health, memory, descriptors.

The attack is a process of its own. A stranger's machine takes no processor time from the gateway's: the attack only gets what the
others leave (the class `SCHED_IDLE`). The machine may be busy with other work, so the ratio is a figure and the bounds are absolute."""

import contextlib
import multiprocessing
import os
import socket
import time

import http2
import wire
from cases import Group
from rig import KEY, Rig, chat
from slow import PREFACE, SETTINGS, forged

#: The worst that 99 of 100 requests of a good client, and half of the health checks, may take beside an attack, in seconds:
#: the machine may be busy with other work.
LATENCY, HEALTH = 2, 0.1
#: Bytes that strangers may occupy: their bodies of 32 MiB, which are joined to be hashed, and what the allocator keeps.
MEMORY = 96 * 1024 * 1024
#: Seconds of a round of an attack: a long one is repeated, so that the load of the machine changes for both measurements.
ROUND = 60
#: Seconds without an attack before each round, and the part of the round's time if that is more.
ALONE, PART_ALONE = 3, 0.2


def connect(port):
    return socket.create_connection(("127.0.0.1", port), 5)


def hold(data, count=200):
    """Connections that send this and stay."""
    def attack(port):
        while True:
            found = []
            with contextlib.suppress(OSError):
                for _ in range(count):
                    connection = connect(port)
                    connection.sendall(data() if callable(data) else data)
                    found.append(connection)
            time.sleep(1)
            for connection in found:
                connection.close()

    return attack


def repeat(data):
    """The same bytes over and over, each time after the response to the last ones."""
    def attack(port):
        while True:
            with contextlib.suppress(OSError), connect(port) as connection:
                while True:
                    connection.sendall(data() if callable(data) else data)
                    if not connection.recv(1 << 16):
                        break

    return attack


def once_a_connection(data):
    """A connection for each."""
    def attack(port):
        while True:
            with contextlib.suppress(OSError), connect(port) as connection:
                connection.sendall(data() if callable(data) else data)
                connection.settimeout(0.2)
                while connection.recv(1 << 16):
                    pass

    return attack


GUESS = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer wrong\r\ncontent-length: 0\r\n\r\n"


def attacks():
    floods = dict(http2.floods())
    yield "silent connections", hold(b"")
    yield "half headers", hold(b"GET / HTTP/1.1\r\nx: ")
    yield "idle HTTP/2", hold(PREFACE + SETTINGS)
    yield "connections opened and closed", once_a_connection(b"")
    yield "guessed keys", repeat(GUESS)
    yield "guessed keys, a connection each", once_a_connection(GUESS)
    yield "forged signatures without bodies", hold(lambda: forged() + b"content-length: 100\r\n\r\n")
    yield "forged signatures with bodies", once_a_connection(lambda: forged() + b"content-length: 4000000\r\n\r\n" + b" " * 4_000_000)
    for name in ["rapid reset", "ping", "settings", "continuation", "HPACK bomb"]:
        yield f"HTTP/2 flood of {name}", once_a_connection(http2.START + floods[name])


def idle(attack, port):
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    attack(port)


@contextlib.contextmanager
def beside(attack, port):
    process = multiprocessing.Process(target=idle, args=(attack, port), daemon=True)
    process.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        process.kill()
        process.join()


def good_client(rig, seconds):
    """Latencies of a client that keeps its connection, and of health checks; failures."""
    body = chat()
    data = (b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " + KEY.encode() +
            b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    times, health, failures, peak = [], [], 0, 0
    end = time.monotonic() + seconds
    connection = connect(rig.port)
    while time.monotonic() < end:
        started = time.monotonic()
        status = wire.until_response(connection, data)
        if status is None:
            # A connection without a request may be closed at any time; a client opens another one.
            connection.close()
            connection = connect(rig.port)
            status = wire.until_response(connection, data)
        times.append(time.monotonic() - started)
        failures += status != 200
        if len(times) % 20 == 0:
            health.append(rig.health())
            peak = max(peak, rig.rss() - rig.rest_rss)
        time.sleep(0.002)
    connection.close()
    return times, health, failures, peak


def share(times, part):
    return times[min(len(times) - 1, int(len(times) * part))]


def run(programs):
    group = Group("beside")
    with Rig(programs) as rig:
        for name, attack in attacks():
            rounds = max(1, round(programs.seconds / ROUND))
            alone, times, health, peak = [], [], [], 0
            for _ in range(rounds):
                seconds = programs.seconds / rounds
                found, _, failures, _ = good_client(rig, max(ALONE, seconds * PART_ALONE))
                alone += found
                group.check(f"before {name}: failed requests", failures, 0)
                with beside(attack, rig.port):
                    found, checks, failures, most = good_client(rig, seconds)
                times, health, peak = times + found, health + checks, max(peak, most)
                group.check(f"{name}: failed requests of the good client", failures, 0)
            for found in (alone, times, health):
                found.sort()
            p99 = share(times, 0.99)
            group.figures[name] = {
                "requests": len(times), "p50_ms": round(share(times, 0.5) * 1000, 1), "p99_ms": round(p99 * 1000, 1),
                "p99_alone_ms": round(share(alone, 0.99) * 1000, 1), "ratio": round(p99 / share(alone, 0.99), 2),
                "health_p99_ms": round(share(health, 0.99) * 1000, 1), "memory_mb": peak >> 20,
            }
            group.expect(f"{name}: latency", p99 < LATENCY, f"p99 {p99:.3f} s")
            group.expect(f"{name}: health", share(health, 0.5) < HEALTH, f"{[round(one, 3) for one in health[-5:]]}")
            group.expect(f"{name}: memory", peak <= MEMORY, f"{peak >> 20} MB more than at rest")
        group.after(rig, memory=MEMORY)
    return group
