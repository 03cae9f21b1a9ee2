"""Web pages: a page of any site in a developer's browser, with the gateway open on loopback and with keys."""

import wire
from cases import Group
from rig import KEY, Rig, chat

BODY = chat()


def request(pairs, method=b"POST", path=b"/v1/chat/completions", body=BODY, kind=b"application/json"):
    head = method + b" " + path + b" HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in pairs)
    if method in (b"POST", b"PUT"):
        head += b"content-type: " + kind + b"\r\ncontent-length: %d\r\n" % len(body)
        return head + b"\r\n" + body
    return head + b"\r\n"


LOCAL = (b"host", b"localhost:8000")


def pages():
    """Name, headers, whether it may pass while the gateway needs no key."""
    for host in [b"localhost", b"localhost:8000", b"127.0.0.1:8000", b"[::1]:8000", b"LOCALHOST", b"app.localhost", b"localhost."]:
        yield f"host {host.decode()}", [(b"host", host)], True
    for host in [b"evil.example", b"evil.example:8000", b"localhost.evil.example", b"127.0.0.1.nip.io", b"evillocalhost", b"localhost@evil.example",
                 b"gateway.internal", b"evil.example#localhost", b"localhost,evil.example", b"xn--lcalhost-80a"]:
        yield f"host {host.decode()}", [(b"host", host)], False
    for origin in [b"http://localhost:3000", b"http://127.0.0.1:5173", b"http://[::1]:1", b"https://app.localhost", b"vscode-webview://x", b"tauri://localhost"]:
        yield f"origin {origin.decode()}", [LOCAL, (b"origin", origin)], True
    for origin in [b"https://evil.example", b"null", b"http://localhost.evil.example", b"http://evil.example:8000", b"http://192.168.0.2", b"http://10.0.0.1:80",
                   b"https://localhost@evil.example", b"blob:https://evil.example", b"http://127.0.0.1.evil.example", b"data:", b"http://localhost evil.example",
                   b"\xff"]:
        yield f"origin {origin!r}", [LOCAL, (b"origin", origin)], False
    for site, passes in [(b"cross-site", False), (b"same-site", True), (b"same-origin", True), (b"none", True)]:
        yield f"sec-fetch-site {site.decode()}", [LOCAL, (b"sec-fetch-site", site)], passes
    yield "two origins", [LOCAL, (b"origin", b"http://localhost"), (b"origin", b"https://evil.example"), (b"sec-fetch-site", b"cross-site")], False
    yield "forwarded host", [LOCAL, (b"x-forwarded-host", b"evil.example")], True


def run(programs):
    group = Group("browsers")
    with Rig(programs, document={}, open_=True) as rig, Rig(programs) as guarded:
        rig.clear_calls()

        def one(case, target, data, want, forbidden=b"access-control-allow-origin"):
            def attempt():
                with target.connect() as connection:
                    statuses, closed, raw = wire.exchange(connection, data)
                    group.check(case, wire.outcome(statuses, closed), want)
                    if forbidden in raw.lower():
                        group.failures.append(f"{case}: the response grants a page access: {raw[:300]!r}")

            group.attempt(case, attempt)

        for name, pairs, passes in pages():
            want = {"200"} if passes else {"403", "400", "closed"}
            one(f"open: {name}", rig, request(pairs), want)
        foreign = [LOCAL, (b"origin", b"https://evil.example"), (b"sec-fetch-site", b"cross-site")]
        for kind in [b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"application/json", b""]:
            one(f"open: cross-site POST as {kind.decode() or 'nothing'}", rig, request(foreign, kind=kind), {"403"})
        for path in [b"/", b"/v1/models", b"/openapi.json", b"/healthz", b"/foundation-models", b"/v1/nothing"]:
            one(f"open: rebound GET {path.decode()}", rig, request([(b"host", b"evil.example")], b"GET", path), {"403"})
        preflight = foreign + [(b"access-control-request-method", b"POST"), (b"access-control-request-headers", b"authorization")]
        one("open: preflight", rig, request(preflight, b"OPTIONS"), {"403", "404", "405"})
        for path in [b"/v1/messages", b"/v1/responses", b"/v1/embeddings", b"/model/x/converse", b"/model/x/invoke", b"/v1/images/generations"]:
            one(f"open: cross-site POST {path.decode()}", rig, request(foreign, path=path), {"403"})
        calls = [call for call in rig.aws_calls("Converse")]
        passed = sum(passes for _, _, passes in pages())
        group.check("requests of foreign pages never reach AWS", len(calls), passed)

        key = (b"authorization", b"Bearer " + KEY.encode())
        one("with keys: a page without a key", guarded, request(foreign), {"401", "403"})
        one("with keys: a page with a key", guarded, request(foreign + [key]), {"200"})
        one("with keys: preflight", guarded, request(preflight, b"OPTIONS"), {"401", "403", "404", "405"})
        one("with keys: any host", guarded, request([(b"host", b"gateway.example"), key]), {"200"})
        one("with keys: key in the query", guarded, request([LOCAL], path=b"/v1/chat/completions?key=" + KEY.encode()), {"401"})
        one("with keys: basic authentication of a URL", guarded, request([LOCAL, (b"authorization", b"Basic Z29vZDp4")]), {"401"})
        group.after(guarded)
        status = rig.post("/v1/chat/completions", BODY, {})[0]
        group.check("open: a program on this machine", status, 200)
    return group
