"""Framing and smuggling: requests whose end two readers could find in different places. The bytes of a second request are
never responded unless HTTP says that they are one."""

import wire
from cases import Group
from rig import KEY, Rig, chat

BODY = chat()
START = b"POST /v1/chat/completions HTTP/1.1\r\n"
HEAD = b"host: gateway\r\nauthorization: Bearer " + KEY.encode() + b"\r\ncontent-type: application/json\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: gateway\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = b"content-length: %d\r\n" % len(BODY)
TE = b"transfer-encoding: chunked\r\n"
#: A refusal, by status or by closing.
REFUSED = frozenset({"400", "closed"})


def post(headers, body=BODY):
    return START + HEAD + headers + b"\r\n" + body


def lengths():
    """Values of Content-Length."""
    length = str(len(BODY)).encode()
    good = {b"same twice": b"content-length: %s\r\ncontent-length: %s\r\n" % (length, length)}
    for name, value in good.items():
        yield f"length {name.decode()}", post(value), {"200", "400", "closed"}
    for value in [b"+" + length, b"-1", length + b", " + length, length + b",0", b"0x%x" % len(BODY), b"1e2", b"",
                  length + b" " + length, b"9" * 30, length + b";", b"\xd9\xa5", length + b".0", b"NaN", b"18446744073709551616"]:
        yield f"length {value!r}", post(b"content-length: " + value + b"\r\n", BODY + SMUGGLED), REFUSED | {"413"}
    different = b"content-length: %s\r\ncontent-length: 0\r\n" % length
    yield "different lengths", post(different, BODY + SMUGGLED), REFUSED
    yield "different lengths, small one first", post(b"content-length: 0\r\n" + LENGTH, BODY + SMUGGLED), REFUSED


def encodings():
    """Transfer-Encoding, alone and with Content-Length. A value that is not exactly `chunked` is refused."""
    yield "chunked", post(TE, CHUNKED), {"200"}
    whole = b"content-length: %d\r\n" % (len(CHUNKED) + len(SMUGGLED))
    # RFC 9112, section 6.3: chunked wins and the connection ends, or the request is refused.
    yield "length, then chunked", post(whole + TE, CHUNKED + SMUGGLED), REFUSED | {"200"}
    yield "chunked, then length", post(TE + whole, CHUNKED + SMUGGLED), REFUSED | {"200"}
    yield "chunked, and length 0", post(TE + b"content-length: 0\r\n", CHUNKED + SMUGGLED), REFUSED | {"200"}
    for value in [b"xchunked", b"identity", b"chunked, identity", b"gzip", b"chunk\x00ed", b"\x0bchunked", b'"chunked"',
                  b"chunked;q=0", b"chunked\x00", b"deflate", b"chunkedd", b"chun ked", b"chunked,gzip"]:
        line = b"transfer-encoding: " + value + b"\r\n"
        yield f"encoding {value!r}", post(line, CHUNKED + SMUGGLED), REFUSED
        yield f"encoding {value!r} with a length", post(LENGTH + line, BODY + SMUGGLED), REFUSED
    for name, line in [("space before the colon", b"transfer-encoding : chunked\r\n"),
                       ("folded", b"transfer-encoding:\r\n chunked\r\n"),
                       ("after a bare LF", b"x-a: b\ntransfer-encoding: identity, x\r\n"),
                       ("after a bare CR", b"x-a: b\rtransfer-encoding: chunked\r\n"),
                       ("twice, other first", TE.replace(b"chunked", b"chunked, identity") + TE),
                       ("with NUL in the name", b"transfer\x00-encoding: chunked\r\n")]:
        yield f"encoding {name}", post(LENGTH + line, BODY + SMUGGLED), REFUSED if "twice" in name else REFUSED
    old = START.replace(b"1.1", b"1.0")
    yield "chunked in HTTP/1.0", old + HEAD + TE + b"\r\n" + CHUNKED + SMUGGLED, REFUSED | {"200"}


def chunks():
    """The parts of a chunked body."""
    size = b"%x" % len(BODY)
    last = b"0\r\n\r\n"
    for name, first in [("plus", b"+" + size), ("minus", b"-" + size), ("0x", b"0x" + size), ("leading space", b" " + size),
                        ("underscore", size[:1] + b"_" + size[1:]), ("17 digits", b"F" * 17), ("empty", b""),
                        ("NUL", size + b"\x00"), ("not hexadecimal", b"zz"), ("comma", size + b",")]:
        yield f"chunk size {name}", post(TE, first + b"\r\n" + BODY + b"\r\n" + last + SMUGGLED), REFUSED
    yield "chunk longer than its size", post(TE, b"5\r\n" + BODY + b"\r\n" + last + SMUGGLED), REFUSED
    yield "chunk without an end of line", post(TE, size + b"\r\n" + BODY + last + SMUGGLED), REFUSED
    yield "chunk size after a bare LF", post(TE, size + b"\n" + BODY + b"\r\n" + last + SMUGGLED), REFUSED
    yield "LF in an extension", post(TE, size + b";a=\nb\r\n" + BODY + b"\r\n" + last + SMUGGLED), REFUSED
    yield "an extension", post(TE, size + b";a=b\r\n" + BODY + b"\r\n" + last), {"200"}
    yield "extensions of 100 KB", post(TE, size + b";" + b"a" * 100_000 + b"\r\n" + BODY + b"\r\n" + last), REFUSED
    yield "trailers", post(TE, CHUNKED[:-2] + b"x-a: b\r\n\r\n"), {"200"}
    yield "trailers with framing", post(TE, CHUNKED[:-2] + b"content-length: 5\r\ntransfer-encoding: x\r\n\r\n"), {"200", "400"}
    yield "trailers with another key", post(TE, CHUNKED[:-2] + b"authorization: Bearer other\r\n\r\n"), {"200", "400"}
    yield "trailers of 1 MB", post(TE, CHUNKED[:-2] + (b"x-a: " + b"b" * 1000 + b"\r\n") * 1000 + b"\r\n"), REFUSED | {"431"}
    yield "body of one-byte chunks", post(TE, b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + last), {"200"}


def lines():
    """Request line and header lines."""
    get = b"GET /healthz HTTP/1.1\r\n"
    host = b"host: gateway\r\n"
    for name, data, want in [
        ("bare LF at all ends", b"GET /healthz HTTP/1.1\nhost: gateway\n\n", REFUSED | {"200"}),
        ("bare CR in a value", get + host + b"x: a\rb\r\n\r\n", REFUSED),
        ("bare CR in the request line", b"GET /health\rz HTTP/1.1\r\n" + host + b"\r\n", REFUSED),
        ("NUL in a value", get + host + b"x: a\x00b\r\n\r\n", REFUSED),
        ("NUL in a name", get + host + b"x\x00: a\r\n\r\n", REFUSED),
        ("NUL in the path", b"GET /healthz\x00 HTTP/1.1\r\n" + host + b"\r\n", REFUSED),
        ("DEL in a value", get + host + b"x: a\x7fb\r\n\r\n", REFUSED),
        ("folded line", get + host + b"x: a\r\n b\r\n\r\n", REFUSED),
        ("folded line with a tab", get + host + b"x: a\r\n\tb\r\n\r\n", REFUSED),
        ("space before the colon", get + host + b"x : a\r\n\r\n", REFUSED),
        ("no colon", get + host + b"x\r\n\r\n", REFUSED),
        ("empty name", get + host + b": a\r\n\r\n", REFUSED),
        ("space in a name", get + host + b"x y: a\r\n\r\n", REFUSED),
        ("first header indented", get + b" " + host + b"\r\n", REFUSED),
        ("UTF-8 in a name", get + host + b"\xc3\xa4: a\r\n\r\n", REFUSED),
        ("HTTP/0.9", b"GET /healthz\r\n\r\n", REFUSED),
        ("HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n", {"200"}),
        ("HTTP/1.2", b"GET /healthz HTTP/1.2\r\n" + host + b"\r\n", REFUSED | {"505"}),
        ("HTTP/2.0 as text", b"GET /healthz HTTP/2.0\r\n" + host + b"\r\n", REFUSED | {"505"}),
        ("HTTP/11", b"GET /healthz HTTP/11\r\n" + host + b"\r\n", REFUSED),
        ("lower case http", b"GET /healthz http/1.1\r\n" + host + b"\r\n", REFUSED),
        ("text after the version", b"GET /healthz HTTP/1.1 x\r\n" + host + b"\r\n", REFUSED),
        ("two spaces", b"GET  /healthz HTTP/1.1\r\n" + host + b"\r\n", REFUSED),
        ("tabs", b"GET\t/healthz\tHTTP/1.1\r\n" + host + b"\r\n", REFUSED),
        ("empty lines first", b"\r\n\r\n" + HEALTH, {"200"}),
        ("no host", get + b"\r\n", REFUSED | {"200"}),
        ("absolute form", b"GET http://other/healthz HTTP/1.1\r\n" + host + b"\r\n", {"200"}),
        ("asterisk", b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\n", {"400", "404", "405"}),
        ("CONNECT", b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + host + b"\r\n", {"400", "404", "405"}),
        ("TRACE", b"TRACE /healthz HTTP/1.1\r\n" + host + b"x-secret: a\r\n\r\n", {"400", "404", "405"}),
        ("unknown method", b"BREW /healthz HTTP/1.1\r\n" + host + b"\r\n", {"400", "404", "405"}),
        ("method of 10 KB", b"A" * 10_000 + b" /healthz HTTP/1.1\r\n" + host + b"\r\n", {"400", "404", "405", "closed"}),
        ("quotes in the method", b'GE"T /healthz HTTP/1.1\r\n' + host + b"\r\n", REFUSED),
        ("fragment", b"GET /healthz#x HTTP/1.1\r\n" + host + b"\r\n", REFUSED | {"200", "404"}),
        ("backslashes", b"GET \\healthz HTTP/1.1\r\n" + host + b"\r\n", REFUSED | {"404"}),
        ("dots in the path", b"GET /v1/../healthz HTTP/1.1\r\n" + host + b"\r\n", {"404"}),
        ("encoded dots", b"GET /v1/%2e%2e/healthz HTTP/1.1\r\n" + host + b"\r\n", {"404"}),
        ("double slash", b"GET //healthz HTTP/1.1\r\n" + host + b"\r\n", REFUSED | {"404"}),
        ("encoded slash in a model", b"GET /v1/models/a%2Fb HTTP/1.1\r\n" + HEAD + b"\r\n", {"200", "404"}),
        ("invalid percent", b"GET /v1/models/%zz HTTP/1.1\r\n" + HEAD + b"\r\n", {"200", "400", "404"}),
        ("path of 70 KB", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + host + b"\r\n", {"404", "414", "431", "closed"}),
        ("path of 1 MB", b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n" + host + b"\r\n", {"414", "431", "closed"}),
        ("header of 1 MB", get + host + b"x: " + b"a" * 1_000_000 + b"\r\n\r\n", {"431", "closed"}),
        ("200 headers", get + host + b"x: a\r\n" * 200 + b"\r\n", {"200", "431"}),
        ("100,000 headers", get + host + b"x: a\r\n" * 100_000 + b"\r\n", {"431", "closed"}),
        ("TLS to the plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 300, REFUSED),
        ("upgrade to h2c", get + host + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n", {"200"}),
        ("upgrade to a web socket", get + host + b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n", {"200"}),
    ]:
        yield f"line: {name}", data, want


def unread_bodies():
    """Rejections before the body is read: what follows is the body, not a request."""
    body = SMUGGLED * 3
    length = b"content-length: %d\r\n" % len(body)
    bad_key = HEAD.replace(KEY.encode(), b"sk-wrong")
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    for name, start, head, status in [
        ("401", START, bad_key, "401"),
        ("404", b"POST /v1/nothing HTTP/1.1\r\n", HEAD, "404"),
        ("405", b"PUT /v1/chat/completions HTTP/1.1\r\n", HEAD, "405"),
        ("405 of health", b"POST /healthz HTTP/1.1\r\n", HEAD, "405"),
        ("400", START, HEAD, "400"),
        ("GET with a body", b"GET /v1/models HTTP/1.1\r\n", HEAD, "200"),
    ]:
        yield f"unread body after {name}", start + head + length + b"\r\n" + body, {status}
        yield f"unread chunks after {name}", start + head + TE + b"\r\n" + chunked, {status}
    large = b"content-length: 999999999\r\n"
    yield "unread body after 413", START + HEAD + large + b"\r\n" + body, {"413"}
    expect = b"expect: 100-continue\r\n"
    yield "expectation with a bad key", START + bad_key + expect + length + b"\r\n" + body, {"401"}
    yield "expectation over the limit", START + HEAD + expect + large + b"\r\n" + body, {"413"}
    yield "unknown expectation", post(b"expect: 200-maybe\r\n" + LENGTH), {"200", "400", "417"}


def pipelines():
    """Several requests in one write: each gets a response, in order."""
    good = post(LENGTH)
    bad = START + HEAD.replace(KEY.encode(), b"sk-wrong") + LENGTH + b"\r\n" + BODY
    yield "two good ones", good + good, {"200,200"}
    yield "good and bad", good + HEALTH + b"GET /v1/nothing HTTP/1.1\r\nhost: a\r\n\r\n", {"200,200,404"}
    yield "bad key, then good", bad + good, {"401,200", "401"}
    yield "50 health checks", HEALTH * 50, {",".join(["200"] * 50)}
    yield "good, then garbage", good + b"\x00\x01\x02\x03\r\n\r\n", {"200,400", "200"}
    yield "good, then half of one", good + good[:50], {"200"}


def models():
    """Names of models that are not names. No part of one reaches a header of AWS's request."""
    for name, model in [("70 KB", "m" * 70_000), ("1 MB", "m" * 1_000_000), ("10 MB", "m" * 10_000_000), ("empty", ""),
                        ("CR LF", "a\r\nx-injected: b"), ("NUL", "a\x00b"), ("slashes", "../../model/x/invoke"),
                        ("encoded slashes", "%2e%2e%2fx"), ("question mark", "a?b=c"), ("hash", "a#b"), ("spaces", "a b"),
                        ("URL", "https://evil.example/"), ("right to left", "\u202eabc"), ("emoji", "\U0001f98a" * 100),
                        ("ARN", "arn:aws:bedrock:us-east-1:1:inference-profile/../x"), ("at", "a@evil.example"),
                        ("backslashes", "..\\..\\x"), ("semicolons", "a;b;c")]:
        body = chat(model=model)
        yield f"model {name}", post(b"content-length: %d\r\n" % len(body), body), {"400", "404"}
    for path in [b"/model/" + b"m" * 60_000 + b"/converse", b"/model/%0d%0ax:y/converse", b"/model/a%00b/converse",
                 b"/model/..%2f..%2fx/converse", b"/model//converse", b"/model/%ff/converse", b"/model/a%20b/invoke"]:
        yield (f"path {path[:40]!r}", b"POST " + path + b" HTTP/1.1\r\n" + HEAD + b"content-length: 2\r\n\r\n{}",
               {"400", "404", "405", "414", "431"})


def run(programs):
    group = Group("framing")
    with Rig(programs) as rig:
        rig.clear_calls()
        tables = [lengths, encodings, chunks, lines, unread_bodies, pipelines, models]
        number = 0
        for table in tables:
            for name, data, want in table():
                # Addresses in turn, so that no case is slowed for the failures of another one.
                number += 1

                def one(name=name, data=data, want=want, number=number):
                    with rig.connect(source=f"127.0.2.{number // 10 % 250 + 1}", timeout=15) as connection:
                        statuses, closed, raw = wire.exchange(connection, data)
                        group.check(name, wire.outcome(statuses, closed), want)
                        if b"smuggled" in raw:
                            group.failures.append(f"{name}: a smuggled request got a response")

                group.attempt(name, one)
        for call in rig.aws_calls():
            headers = call.get("headers", {})
            group.expect("no header of a client reaches AWS", "x-injected" not in str(headers).lower(), headers)
        group.after(rig)
    return group
