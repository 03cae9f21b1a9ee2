"""Strangers who hold on to what others need: descriptors, places among the requests in progress, memory."""

import contextlib
import datetime
import json
import socket
import time

import wire
from cases import Group
from rig import HEALTH_SECONDS, KEY, MEMORY, Rig, chat
from slow import PREFACE, SETTINGS, WRITE, forged

LARGE = 31 * 1024 * 1024


def crowd(rig, count, data):
    """Connections that have sent these bytes."""
    found = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", rig.port), 5)
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.send(data)
        found.append(connection)
    return found


def served(group, rig, case):
    """Health and good requests while the crowd is there."""
    for _ in range(3):
        group.attempt(f"{case}: good", lambda: group.check(f"{case}: a good request", rig.good(timeout=5), 200))
    times = []
    group.attempt(f"{case}: health", lambda: times.extend(rig.health() for _ in range(5)))
    group.expect(f"{case}: health", bool(times) and min(times) < HEALTH_SECONDS, times)


def descriptors(group, programs):
    """More connections than the process may open files: the oldest silent ones give way."""
    wrong = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\ncontent-length: 0\r\n\r\n"
    with Rig(programs, descriptors=256) as rig:
        for name, data in [("silent", b""), ("one byte", b"P"), ("half of the headers", b"GET / HTTP/1.1\r\nx: "),
                           ("idle HTTP/2", PREFACE + SETTINGS), ("idle after a response", b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"),
                           ("delayed rejections", wrong * 3)]:
            case = f"400 connections: {name}"
            connections = crowd(rig, 400, data)
            time.sleep(1)
            served(group, rig, case)
            for connection in connections:
                connection.close()
        connections = []
        for _ in range(200):
            with contextlib.suppress(OSError):
                connections.append(socket.create_connection(("127.0.0.1", rig.admin), 2))
        served(group, rig, "200 connections to the admin port")
        for connection in connections:
            connection.close()
        group.after(rig)


def places(group, programs):
    """Signatures that are not proven take no place among 20 requests in progress."""
    now = datetime.datetime.now(datetime.timezone.utc)
    with Rig(programs, document={"limits": {"maxInFlight": 20}}) as rig:
        hashed = forged().replace(b"SignedHeaders=host;x-amz-date", b"SignedHeaders=host;x-amz-content-sha256;x-amz-date")
        for name, head in [
            ("of zeros", forged()), ("of 2020", forged("20200101T120000Z")),
            ("of tomorrow", forged((now + datetime.timedelta(days=1)).strftime("%Y%m%dT%H%M%SZ"))),
            ("with a hash", hashed + b"x-amz-content-sha256: " + b"0" * 64 + b"\r\n"),
            ("of an unknown client", forged().replace(b"Credential=good", b"Credential=unknown")),
        ]:
            connections = crowd(rig, 100, head + b"content-length: 100\r\n\r\n")
            time.sleep(0.5)
            served(group, rig, f"100 signatures {name}")
            for connection in connections:
                connection.close()
        connections = crowd(rig, 100, b"POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: wrong\r\ncontent-length: 100\r\n\r\n")
        served(group, rig, "100 wrong keys")
        for connection in connections:
            connection.close()
        group.after(rig)


def memory(group, programs):
    """Bodies of 31 MB without a proof: all of them together stay below a bound."""
    with Rig(programs) as rig:
        wrong = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\n"
        for name, head in [("a forged signature", forged()), ("an unknown client's signature", forged().replace(b"=good", b"=unknown")),
                           ("a wrong key", wrong), ("no key", wrong.replace(b"authorization: Bearer x\r\n", b"")),
                           ("no such path", b"POST /v1/none HTTP/1.1\r\nhost: a\r\n")]:
            case = f"16 bodies of 31 MB with {name}"
            connections = crowd(rig, 16, head + b"content-length: %d\r\n\r\n" % LARGE)
            left = {connection: LARGE - 1 for connection in connections}
            piece = b" " * 262_144
            peak, end = 0, time.monotonic() + 6
            while left and time.monotonic() < end:
                moved = False
                for connection in list(left):
                    try:
                        sent = connection.send(piece[:min(len(piece), left[connection])])
                        left[connection] -= sent
                        moved = True
                        if left[connection] <= 0:
                            del left[connection]
                    except BlockingIOError:
                        continue
                    except OSError:
                        del left[connection]
                peak = max(peak, rig.rss() - rig.rest_rss)
                if not moved:
                    time.sleep(0.02)
            group.figures[f"{case}: MB"] = peak >> 20
            group.expect(f"{case}: memory", peak <= MEMORY, f"{peak >> 20} MB more than at rest")
            served(group, rig, case)
            for connection in connections:
                connection.close()
        group.after(rig)


def readers(group, programs):
    """Clients with a key that never read: all 8 places are taken, and given back once nothing has moved for a while."""
    with Rig(programs, document={"limits": {"maxInFlight": 8}}) as rig:
        for stream in [False, True]:
            body = chat("@chunk 1000\n@repeat 300000 a response that is never read", stream=stream)
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " + KEY.encode()
            data = head + b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            case = f"40 {'streams' if stream else 'responses'} that are never read"
            connections = []
            for _ in range(40):
                connection = socket.socket()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.connect(("127.0.0.1", rig.port))
                connection.sendall(data)
                connections.append(connection)
            time.sleep(5)
            held = rig.metric("bedrock_gateway_in_flight_requests ")
            group.expect(f"{case}: places", held <= 8, f"{held} places")
            rss = rig.rss() - rig.rest_rss
            group.figures[f"{case}: MB"] = rss >> 20
            group.expect(f"{case}: memory", rss < 8 * 3 * 20 << 20, f"{rss >> 20} MB")
            group.attempt(f"{case}: health", lambda: group.expect(f"{case}: health", min(rig.health() for _ in range(5)) < 1, "slow"))
            end = time.monotonic() + WRITE + 60
            while rig.good() != 200 and time.monotonic() < end:
                time.sleep(1)
            group.check(f"{case}: a good request at last", rig.good(), 200)
            for connection in connections:
                connection.close()
        # The allocator keeps part of what responses of this size needed.
        group.after(rig, memory=2 * MEMORY)


def rejections_say_why(group, programs):
    """Rejections carry their reason in the client's dialect also in a crowd."""
    with Rig(programs, document={"limits": {"maxInFlight": 1}}) as rig:
        hold = rig.connect()
        body = chat()
        hold.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " + KEY.encode() +
                     b"\r\ncontent-length: %d\r\n\r\n" % len(body))
        time.sleep(0.3)
        # 529 is Anthropic's status of an overloaded service.
        for path, data, want in [("/v1/chat/completions", chat(), 503), ("/v1/messages", chat(max_tokens=9), 529)]:
            status, headers, response = rig.post(path, data, {"authorization": f"Bearer {KEY}"})
            group.check(f"no place: {path}", status, want)
            headers = {name.lower() for name in headers}
            group.expect(f"no place: {path} says when", "retry-after" in headers, headers)
            group.expect(f"no place: {path} says why", "in flight" in json.dumps(json.loads(response)), response)
        statuses, closed, _ = wire.exchange(hold, body)
        group.check("the request that had the place", wire.outcome(statuses, closed), "200")
        hold.close()
        group.after(rig)


def run(programs):
    import threading

    group = Group("exhaustion")
    parts = [descriptors, places, memory, readers, rejections_say_why]
    threads = [threading.Thread(target=group.attempt, args=(part.__name__, lambda part=part: part(group, programs))) for part in parts[3:]]
    for thread in threads:
        thread.start()
    for part in parts[:3]:
        group.attempt(part.__name__, lambda part=part: part(group, programs))
    for thread in threads:
        thread.join()
    return group
