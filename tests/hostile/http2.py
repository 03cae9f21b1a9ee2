"""HTTP/2 by frames: floods, and frames that break the protocol. The gateway refuses the frame, the stream or the connection,
and spends neither processor nor memory on it."""

import struct
import time

import hpack

import wire
from cases import Group
from rig import KEY, Rig, chat

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
#: A refusal of the frame, the stream or the connection.
REFUSED = frozenset({"goaway", "rst", "closed", "400"})
#: The same, or the frame is ignored and a request gets a response.
HARMLESS = REFUSED | {"200", "open"}


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def block(pairs, encoder=None):
    return (encoder or hpack.Encoder()).encode(pairs, huffman=False)


def pseudo(path="/healthz", method="GET", authority="gateway"):
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority)]


def get(stream=1, pairs=None):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block(pairs or pseudo()))


def post(stream, length=None, key=KEY):
    pairs = pseudo("/v1/chat/completions", "POST") + [("authorization", f"Bearer {key}"), ("content-type", "application/json")]
    if length is not None:
        pairs.append(("content-length", str(length)))
    return frame(HEADERS, END_HEADERS, stream, block(pairs))


START = PREFACE + frame(SETTINGS)


def breaches():
    """Frames that are not allowed, and the outcomes. All are sent after the preface and the settings."""
    yield "good", get(), {"200"}
    yield "good with a body", post(1) + frame(DATA, END_STREAM, 1, chat()), {"200"}
    yield "body longer than its length", post(1, 5) + frame(DATA, END_STREAM, 1, chat()), REFUSED
    yield "body shorter than its length", post(1, 500) + frame(DATA, END_STREAM, 1, chat()), REFUSED | {"408"}
    yield "headers on stream 0", frame(HEADERS, END_HEADERS | END_STREAM, 0, block(pseudo())), REFUSED
    yield "headers on an even stream", get(2), REFUSED
    yield "a lower stream", get(5) + get(3), REFUSED | {"200"}
    yield "data on stream 0", frame(DATA, END_STREAM, 0, b"x"), REFUSED
    yield "data on an idle stream", frame(DATA, END_STREAM, 7, b"x"), REFUSED
    yield "data after the end", get() + frame(DATA, END_STREAM, 1, b"x"), REFUSED | {"200"}
    yield "reset of an idle stream", frame(RST, 0, 9, bytes(4)), REFUSED
    yield "reset on stream 0", frame(RST, 0, 0, bytes(4)), REFUSED
    yield "push promise", frame(PUSH, END_HEADERS, 1, struct.pack(">I", 2) + block(pseudo())), REFUSED
    yield "unknown frame", frame(0xEE, 0xFF, 0, b"abc") + get(), {"200"}
    yield "frame over the limit", frame(DATA, 0, 1, bytes(1 << 20)), REFUSED
    yield "headers over the limit", frame(HEADERS, END_HEADERS, 1, bytes(1 << 20)), REFUSED
    yield "padding longer than the frame", frame(DATA, PADDED, 1, b"\xffab"), REFUSED
    yield "padding of headers longer than the frame", frame(HEADERS, PADDED | END_HEADERS, 1, b"\xffab"), REFUSED
    yield "settings of 5 bytes", frame(SETTINGS, 0, 0, bytes(5)), REFUSED
    yield "settings on a stream", frame(SETTINGS, 0, 1), REFUSED
    yield "acknowledgement with a payload", frame(SETTINGS, 1, 0, bytes(6)), REFUSED
    yield "window of 2^31", frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)), REFUSED
    yield "frame size of 1", frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 1)), REFUSED
    yield "frame size of 2^25", frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 1 << 25)), REFUSED
    yield "push set to 7", frame(SETTINGS, 0, 0, struct.pack(">HI", 2, 7)), REFUSED
    yield "header table of 4 GB", frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 0xFFFFFFFF)) + get(), {"200"}
    yield "unknown setting", frame(SETTINGS, 0, 0, struct.pack(">HI", 0xEEEE, 7)) + get(), {"200"}
    yield "ping of 7 bytes", frame(PING, 0, 0, bytes(7)), REFUSED
    yield "ping on a stream", frame(PING, 0, 1, bytes(8)), REFUSED
    yield "window update of 0", frame(WINDOW, 0, 0, bytes(4)), REFUSED
    yield "window update of 0 on a stream", post(1) + frame(WINDOW, 0, 1, bytes(4)), REFUSED
    yield "window over 2^31", frame(WINDOW, 0, 0, struct.pack(">I", 0x7FFFFFFF)) * 2, REFUSED
    yield "window of a stream over 2^31", post(1) + frame(WINDOW, 0, 1, struct.pack(">I", 0x7FFFFFFF)) * 2, REFUSED
    yield "window update of 3 bytes", frame(WINDOW, 0, 0, bytes(3)), REFUSED
    yield "priority of itself", frame(PRIORITY, 0, 1, struct.pack(">IB", 1, 1)), HARMLESS
    yield "priority of 4 bytes", frame(PRIORITY, 0, 1, bytes(4)), REFUSED
    yield "goaway, then a request", frame(GOAWAY, 0, 0, bytes(8)) + get(), HARMLESS
    yield "goaway on a stream", frame(GOAWAY, 0, 1, bytes(8)), REFUSED
    yield "continuation alone", frame(CONTINUATION, END_HEADERS, 1, block(pseudo())), REFUSED
    half = block(pseudo())
    yield "continuation of another stream", frame(HEADERS, 0, 1, half[:3]) + frame(CONTINUATION, END_HEADERS, 3, half[3:]), REFUSED
    yield "ping between continuations", frame(HEADERS, 0, 1, half[:3]) + frame(PING, 0, 0, bytes(8)), REFUSED
    yield "split headers", frame(HEADERS, END_STREAM, 1, half[:3]) + frame(CONTINUATION, END_HEADERS, 1, half[3:]), {"200"}
    yield "no preface", b"", REFUSED
    yield "bytes of TLS", b"\x16\x03\x01" + bytes(100), REFUSED
    for name, bad in [("index out of range", b"\xff\xff\xff\x7f"), ("index 0", b"\x80"), ("cut", b"\x40\x0aab"), ("integer overflow", b"\x7f" + b"\xff" * 20),
                      ("Huffman padding", b"\x00\x81\xff\x81\xff"), ("table size over the limit", b"\x3f\xff\xff\xff\x7f")]:
        yield f"HPACK {name}", frame(HEADERS, END_HEADERS | END_STREAM, 1, bad), REFUSED
    for name, pairs in [
        ("upper case name", pseudo() + [("X-A", "b")]), ("no method", pseudo()[1:]), ("no path", pseudo()[:2]), ("method twice", pseudo() + [(":method", "POST")]),
        ("path twice", pseudo()[:3] + [(":path", "/v1/models")]), ("unknown pseudo header", pseudo() + [(":evil", "x")]), ("status", pseudo() + [(":status", "200")]),
        ("pseudo header after others", [("x", "y")] + pseudo()), ("connection", pseudo() + [("connection", "close")]),
        ("transfer-encoding", pseudo() + [("transfer-encoding", "chunked")]), ("upgrade", pseudo() + [("upgrade", "h2c")]), ("te", pseudo() + [("te", "gzip")]),
        ("LF in a value", pseudo() + [("x", "a\nb")]), ("CR LF in a value", pseudo() + [("x", "a\r\nx-injected: b")]), ("NUL in a value", pseudo() + [("x", "a\0b")]),
        ("colon in a name", pseudo() + [("x:y", "a")]), ("space in a name", pseudo() + [("x y", "a")]), ("empty name", pseudo() + [("", "a")]),
        ("LF in the path", pseudo("/a\nb")), ("space in the path", pseudo("/a b HTTP/1.1")), ("CR LF in the method", pseudo(method="GET\r\nx: y")),
        ("empty path", pseudo("")), ("empty method", pseudo(method="")), ("line in the authority", pseudo(authority="a\nb")),
        ("lengths", pseudo() + [("content-length", "1"), ("content-length", "2")]), ("negative length", pseudo() + [("content-length", "-1")]),
        ("length of a request without a body", pseudo() + [("content-length", "10")]),
    ]:
        yield f"header: {name}", get(1, pairs), REFUSED | {"404"}
    for name, pairs in [("host beside the authority", pseudo() + [("host", "other")]), ("path without a slash", pseudo("healthz")), ("asterisk", pseudo("*", "OPTIONS")),
                        ("CONNECT", [(":method", "CONNECT"), (":authority", "127.0.0.1:80")]), ("another scheme", [(":method", "GET"), (":scheme", "file"), (":path", "/healthz")])]:
        yield f"header: {name}", get(1, pairs), REFUSED | {"200", "404", "405"}
    trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, block([(":path", "/smuggled")]))
    yield "pseudo header in trailers", post(1) + frame(DATA, 0, 1, chat()) + trailers, REFUSED | {"200"}
    yield "trailers", post(1) + frame(DATA, 0, 1, chat()) + frame(HEADERS, END_HEADERS | END_STREAM, 1, block([("x", "y")])), {"200"}
    yield "300 streams at once", b"".join(post(1 + 2 * at) for at in range(300)), REFUSED
    yield "guesses on 100 streams", b"".join(post(1 + 2 * at, 0, "wrong") for at in range(100)), {"401"}


def floods():
    """Many cheap frames."""
    bomb = hpack.Encoder()
    bomb.header_table_size = 4096
    first = block(pseudo() + [("x", "a" * 3900)], bomb)
    # 16 KB of references to an entry of 3.9 KB: 60 MB of headers.
    again = block(pseudo(), bomb) + b"\xbe" * 16_000
    yield "rapid reset", b"".join(post(1 + 2 * at) + frame(RST, 0, 1 + 2 * at, struct.pack(">I", 8)) for at in range(5000))
    yield "rapid reset of health checks", b"".join(get(1 + 2 * at) + frame(RST, 0, 1 + 2 * at, struct.pack(">I", 8)) for at in range(5000))
    yield "reset by errors", b"".join(post(1 + 2 * at) + frame(WINDOW, 0, 1 + 2 * at, bytes(4)) for at in range(5000))
    yield "continuation", frame(HEADERS, 0, 1, block(pseudo())) + frame(CONTINUATION, 0, 1, block([("x", "a" * 16_000)])) * 2000
    yield "empty continuation", frame(HEADERS, 0, 1, block(pseudo())) + frame(CONTINUATION, 0, 1) * 200_000
    yield "HPACK bomb", frame(HEADERS, END_HEADERS | END_STREAM, 1, first) + b"".join(frame(HEADERS, END_HEADERS | END_STREAM, 3 + 2 * at, again) for at in range(100))
    yield "table size updates", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x20" * 16_000 + block(pseudo()))
    yield "settings", frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 70_000)) * 50_000
    yield "settings of 16 KB", frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 70_000) * 2700) * 200
    yield "ping", frame(PING, 0, 0, bytes(8)) * 100_000
    yield "priority", b"".join(frame(PRIORITY, 0, 1 + 2 * (at % 5000), struct.pack(">IB", 0, 1)) for at in range(100_000))
    yield "window updates", frame(WINDOW, 0, 0, struct.pack(">I", 1)) * 100_000
    yield "empty data", post(1) + frame(DATA, 0, 1) * 100_000
    yield "data of one byte", post(1) + frame(DATA, 0, 1, b" ") * 50_000
    yield "unknown frames", frame(0xEE, 0, 0, b"x") * 100_000
    yield "padding", post(1) + frame(DATA, PADDED, 1, b"\xff" + bytes(255)) * 10_000
    closed = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
    yield "a window of 0 and 100 responses", closed + b"".join(get(1 + 2 * at, pseudo("/openapi.json")) for at in range(100))
    yield "a window of 1 byte at a time", closed + get(1, pseudo("/openapi.json")) + frame(WINDOW, 0, 1, struct.pack(">I", 1)) * 20_000


def outcome(data, closed):
    """The first of: the status of a response, a reset, the end of the connection."""
    decoder = hpack.Decoder()
    found = []
    while len(data) >= 9:
        length = int.from_bytes(data[:3], "big")
        kind, flags, payload = data[3], data[4], data[9:9 + length]
        if len(payload) < length:
            break
        if kind == HEADERS:
            pairs = dict(decoder.decode(payload))
            found.append(pairs.get(":status", "trailers"))
        elif kind == RST and struct.unpack(">I", payload)[0]:
            found.append("rst")
        elif kind == GOAWAY and struct.unpack(">I", payload[4:8])[0]:
            found.append("goaway")
        data = data[9 + length:]
    if data.startswith(b"HTTP/1.1 400"):
        found.append("400")
    return found, "closed" if closed else "open"


def exchange(connection, data, seconds):
    connection.settimeout(seconds)
    try:
        connection.sendall(data)
    except OSError:
        pass
    raw, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        connection.settimeout(0.4 if raw else seconds)
        try:
            piece = connection.recv(1 << 20)
        except TimeoutError:
            found, _ = outcome(raw, False)
            if found:
                return raw, False
            if raw:
                connection.settimeout(max(0.1, end - time.monotonic()))
                continue
            return raw, False
        except OSError:
            return raw, True
        if not piece:
            return raw, True
        raw += piece
    return raw, False


def processor_seconds(rig):
    fields = open(f"/proc/{rig.gateway.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def run(programs):
    group = Group("http2")
    with Rig(programs) as rig:
        number = 0

        def source():
            nonlocal number
            number += 1
            return f"127.0.5.{number // 10 + 1}"

        for name, frames, want in breaches():
            def one(name=name, frames=frames, want=want):
                with rig.connect(source=source()) as connection:
                    start = START if frames and not frames.startswith(b"\x16") else PREFACE[:-4] + b"XX\r\n\r\n" if not frames else b""
                    raw, closed = exchange(connection, start + frames, 3)
                    found, end = outcome(raw, closed)
                    refused = [one for one in found if one in want]
                    got = refused[0] if refused else found[0] if found else end
                    group.check(name, got, want)
                    if b"smuggled" in raw:
                        group.failures.append(f"{name}: a smuggled path got a response")

            group.attempt(name, one)
        for name, frames in floods():
            def one(name=name, frames=frames):
                before = processor_seconds(rig)
                with rig.connect(source=source()) as connection:
                    raw, closed = exchange(connection, START + frames, 3)
                    found, end = outcome(raw, closed)
                used = processor_seconds(rig) - before
                refused = [one for one in found if one in REFUSED]
                group.check(f"flood of {name}", refused[0] if refused else found[0] if found else end, HARMLESS | {"408", "431"})
                memory = rig.rss() - rig.rest_rss
                group.expect(f"flood of {name}: memory", memory <= 32 << 20, f"{memory >> 20} MB")
                # A development build on a shared machine; a release build needs a tenth.
                group.expect(f"flood of {name}: processor", used < 5, f"{used:.1f} s")
                group.figures[f"flood of {name}: s"] = round(used, 2)
                group.check(f"flood of {name}: a good request after it", rig.good(), 200)

            group.attempt(f"flood of {name}", one)
        with rig.connect() as connection:
            statuses, closed, _ = wire.exchange(connection, b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            group.check("HTTP/1.1 after the floods", wire.outcome(statuses, closed), "200")
        group.after(rig)
    return group
