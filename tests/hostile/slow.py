"""Slow and silent clients: every connection without progress ends, on the API port, the admin port and after TLS.

The timers are those of the product, except `keepAliveSeconds`; all cases wait at the same time."""

import datetime
import socket
import ssl
import threading
import time

import wire
from cases import Group
from rig import KEY, Rig, chat

KEEP_ALIVE = 5
#: The product's timers in seconds: detection of the protocol, TLS handshake, bodies, bodies of unproven clients, writes,
#: and a ping to an HTTP/2 client with the time to respond to it.
DETECT, HANDSHAKE, BODY, UNPROVEN, WRITE, PING = 10, 10, 120, 30, 60, 30 + 20
#: Seconds by which a loaded machine may be late.
LATE = 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " + KEY.encode() + b"\r\n"


def forged(date=None):
    """A head of which only the signature is wrong, so that it can only be judged with the body."""
    date = date or datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{date[:8]}/us-east-1/bedrock/aws4_request"
    return (f"POST /model/amazon.nova-lite-v1:0/converse HTTP/1.1\r\nhost: a\r\nx-amz-date: {date}\r\nauthorization: AWS4-HMAC-SHA256 "
            f"Credential=good/{scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}\r\n").encode()


#: Name, bytes that are sent at once, seconds until the end, statuses of responses.
CONNECTIONS = [
    ("silent after connect", b"", DETECT, ""),
    ("one byte that may be a preface", b"P", DETECT, ""),
    ("half a preface", PREFACE[:12], DETECT, ""),
    ("a preface without its last byte", PREFACE[:-1], DETECT, ""),
    ("a preface alone", PREFACE, PING, ""),
    ("idle HTTP/2", PREFACE + SETTINGS, PING, ""),
    ("one byte of HTTP/1.1", b"G", KEEP_ALIVE, ""),
    ("half a request line", b"GET /heal", KEEP_ALIVE, ""),
    ("a request line alone", b"GET /healthz HTTP/1.1\r\n", KEEP_ALIVE, ""),
    ("half of the headers", b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-a: ", KEEP_ALIVE, ""),
    ("headers without an end", b"GET /healthz HTTP/1.1\r\nhost: a\r\n", KEEP_ALIVE, ""),
    ("idle after a response", b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", KEEP_ALIVE, "200"),
    ("empty lines alone", b"\r\n\r\n", KEEP_ALIVE, ""),
]
#: Only on the API port, whose requests have bodies.
REQUESTS = [
    ("no body", HEAD + b"content-length: 100\r\n\r\n", BODY, "408"),
    ("half a body", HEAD + b"content-length: 100\r\n\r\n{\"model\":", BODY, "408"),
    ("half a chunk", HEAD + b"transfer-encoding: chunked\r\n\r\n64\r\n{\"model\":", BODY, "408"),
    ("chunks without an end", HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", BODY, "408"),
    ("an expectation, then silence", HEAD + b"expect: 100-continue\r\ncontent-length: 100\r\n\r\n", BODY, "408"),
    ("no body and a forged signature", lambda: forged() + b"content-length: 100\r\n\r\n", UNPROVEN, "408"),
    ("half a body and a forged signature", lambda: forged() + b"content-length: 100\r\n\r\n{", UNPROVEN, "408"),
    ("no body and an old signature", lambda: forged("20200101T120000Z") + b"content-length: 100\r\n\r\n", 1, "401"),
    ("no body and a wrong key", HEAD.replace(KEY.encode(), b"sk-wrong") + b"content-length: 100\r\n\r\n", 1, "401"),
    ("no body and no such path", b"POST /nothing HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n", 1, "404"),
    ("no body over the limit", HEAD + b"content-length: 99999999\r\n\r\n", 1, "413"),
]
#: One piece a second: name, bytes before, piece, seconds until the end, statuses.
DRIPS = [
    ("header lines", b"GET /healthz HTTP/1.1\r\n", b"x: a\r\n", KEEP_ALIVE, ""),
    ("bytes of a header", b"GET /healthz HTTP/1.1\r\nx: ", b"a", KEEP_ALIVE, ""),
    ("bytes of a request line", b"GET /", b"a", KEEP_ALIVE, ""),
    ("bytes of a preface", b"", None, DETECT, ""),
    ("bytes of a body", HEAD + b"content-length: 100000\r\n\r\n", b" ", BODY, "408"),
    ("chunks of a body", HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n", BODY, "408"),
    ("bytes of a forged body", None, b" ", UNPROVEN, "408"),
]
TLS = [
    ("silent before the handshake", None, b"", HANDSHAKE),
    ("half a ClientHello", None, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", HANDSHAKE),
    ("HTTP without TLS", None, b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", 1),
    ("silent after the handshake", True, b"", DETECT),
    ("one byte after the handshake", True, b"P", DETECT),
    ("half a preface after the handshake", True, PREFACE[:12], DETECT),
    ("half of the headers after the handshake", True, b"GET /healthz HTTP/1.1\r\nx: ", KEEP_ALIVE),
]


class Waiting:
    """Cases that wait at the same time."""

    def __init__(self, group):
        self.group = group
        self.threads = []

    def start(self, case, function):
        thread = threading.Thread(target=self.group.attempt, args=(case, function))
        thread.start()
        self.threads.append(thread)

    def ended(self, case, connection, seconds, statuses):
        # A rejection leaves the connection open for the rest of the body, or for the next request.
        data, took = wire.seconds_until_closed(connection, seconds + KEEP_ALIVE + LATE)
        self.group.expect(f"{case}: ends", took is not None, f"still open after {seconds + KEEP_ALIVE + LATE} s")
        self.group.figures[case] = took and round(took, 1)
        if statuses is not None:
            got = [status for status, _, _ in wire.responses(data)[0]]
            self.group.check(f"{case}: response", ",".join(map(str, got)), statuses)

    def join(self):
        for thread in self.threads:
            thread.join()


def silent(waiting, rig, port, where, name, data, seconds, statuses):
    def one():
        with rig.connect(port=port) as connection:
            connection.sendall(data() if callable(data) else data)
            waiting.ended(f"{where}: {name}", connection, seconds, statuses)

    waiting.start(f"{where}: {name}", one)


def dripping(waiting, rig, name, before, piece, seconds, statuses):
    def one():
        with rig.connect() as connection:
            connection.sendall(forged() + b"content-length: 100000\r\n\r\n" if before is None else before)
            stop = threading.Event()

            def drip():
                pieces = [piece] * 1000 if piece else [PREFACE[at:at + 1] for at in range(len(PREFACE) - 1)] + [b""] * 1000
                for part in pieces:
                    if stop.wait(1):
                        return
                    try:
                        connection.sendall(part)
                    except OSError:
                        return

            threading.Thread(target=drip, daemon=True).start()
            try:
                waiting.ended(f"one a second: {name}", connection, seconds, statuses)
            finally:
                stop.set()

    waiting.start(f"one a second: {name}", one)


def after_tls(waiting, rig, name, handshake, data, seconds):
    def one():
        connection = rig.connect()
        if handshake:
            context = ssl.create_default_context(cafile=str(rig.directory / "tls.crt"))
            connection = context.wrap_socket(connection, server_hostname="localhost")
        with connection:
            connection.sendall(data)
            waiting.ended(f"TLS: {name}", connection, seconds, None)

    waiting.start(f"TLS: {name}", one)


def never_reading(waiting, rig, name, stream):
    """A response that is not read: its place is given back."""
    def one():
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", rig.port))
            body = chat("@chunk 1000\n@repeat 300000 a long response that fills all buffers", stream=stream)
            connection.sendall(HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            end = time.monotonic() + WRITE + 60
            time.sleep(5)
            while rig.metric("bedrock_gateway_in_flight_requests ") and time.monotonic() < end:
                time.sleep(1)
            waiting.group.expect(f"{name}: its place is given back", time.monotonic() < end, "in flight for ever")

    waiting.start(name, one)


def run(programs):
    group = Group("slow")
    waiting = Waiting(group)
    limits = {"limits": {"keepAliveSeconds": KEEP_ALIVE}}
    with Rig(programs, document=limits) as rig, Rig(programs, document=limits, tls=True) as encrypted, Rig(programs, document=limits) as unread:
        for name, data, seconds, statuses in CONNECTIONS:
            silent(waiting, rig, rig.port, "API", name, data, seconds, statuses)
            silent(waiting, rig, rig.admin, "admin", name, data, seconds, statuses)
        for name, data, seconds, statuses in REQUESTS:
            silent(waiting, rig, rig.port, "API", name, data, seconds, statuses)
        for drip in DRIPS:
            dripping(waiting, rig, *drip)
        for name, handshake, data, seconds in TLS:
            after_tls(waiting, encrypted, name, handshake, data, seconds)
        never_reading(waiting, unread, "a whole response that is never read", False)
        never_reading(waiting, unread, "a stream that is never read", True)
        slowest = 0.0
        for _ in range(20):
            time.sleep(1)
            slowest = max(slowest, rig.health(), encrypted.health())
            group.check("a good request beside them", rig.good(), 200)
        group.figures["slowest_health_ms"] = round(slowest * 1000, 1)
        group.expect("health beside them", slowest < 1, f"{slowest:.3f} s")
        waiting.join()
        for one in (rig, encrypted, unread):
            group.after(one)
    return group
