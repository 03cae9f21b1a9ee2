"""JSON bodies that are no requests, in each dialect: a refusal, never a crash, and no member counts twice."""

import gzip
import json
import zlib

from cases import Group
from rig import KEY, MODEL, Rig

CHAT = '{"model":"%s","messages":[{"role":"user","content":"hi"}]' % MODEL
TURN = '{"role":"user","content":[{"text":"hi"}]}'
DIALECTS = {
    "chat": ("/v1/chat/completions", CHAT),
    "messages": ("/v1/messages", CHAT + ',"max_tokens":10'),
    "responses": ("/v1/responses", '{"model":"%s","input":"hi"' % MODEL),
    "converse": (f"/model/{MODEL}/converse", '{"messages":[%s]' % TURN),
}


def bodies(start):
    """Name, body, outcomes. `start` is a good body without its closing brace."""
    good = (start + "}").encode()
    refused = {400}
    yield "good", good, {200}
    yield "empty", b"", refused
    yield "null", b"null", refused
    yield "array", b"[" + good + b"]", refused
    yield "string", json.dumps(good.decode()).encode(), refused
    yield "cut", good[:-5], refused
    yield "two documents", good + good, refused
    yield "trailing text", good + b"x", refused
    yield "trailing comma", (start + ",}").encode(), refused
    yield "comment", b"/* a */" + good, refused
    yield "single quotes", good.replace(b'"', b"'"), refused
    yield "100,000 arrays", (start + ',"x":' + "[" * 100_000 + "]" * 100_000 + "}").encode(), refused | {200}
    yield "1,000,000 open arrays", (start + ',"x":' + "[" * 1_000_000).encode(), refused
    yield "100,000 objects", (start + ',"x":' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}").encode(), refused | {200}
    yield "NaN", (start + ',"temperature":NaN}').encode(), refused
    yield "Infinity", (start + ',"temperature":Infinity}').encode(), refused
    yield "leading zero", (start + ',"temperature":01}').encode(), refused
    yield "plus sign", (start + ',"temperature":+1}').encode(), refused
    yield "unescaped control character", (start + ',"user":"a\nb"}').encode(), refused
    yield "invalid escape", (start + ',"user":"\\x41"}').encode(), refused
    yield "invalid UTF-8", good.replace(b"hi", b"\xff\xfe"), refused
    yield "overlong UTF-8", good.replace(b"hi", b"\xc0\xaf"), refused
    yield "surrogate in UTF-8", good.replace(b"hi", b"\xed\xa0\x80"), refused
    # Replaced, and the response says so.
    yield "lone surrogate", good.replace(b"hi", b"\\ud800"), refused | {200}
    yield "reversed surrogates", good.replace(b"hi", b"\\udc00\\ud800"), refused | {200}
    yield "NUL in text", good.replace(b"hi", b"a\\u0000b"), refused | {200}
    yield "UTF-16", good.decode().encode("utf-16"), refused
    yield "UTF-32", good.decode().encode("utf-32"), refused
    yield "byte order mark", b"\xef\xbb\xbf" + good, refused | {200}
    yield "messages of a wrong type", good.replace(b"hi", b"").replace(b"[{", b"{").replace(b"}]", b"}"), refused | {200}
    # 1 GB of spaces in 1 MB: it is never unpacked.
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(200)) + packer.flush()
    yield "gzip bomb", packed, refused | {415}
    yield "gzip", gzip.compress(good), refused | {415}
    if '"model"' in start:
        yield "1e999", (start + ',"temperature":1e999}').encode(), refused
        yield "duplicate model", (start + ',"model":"other"}').encode(), refused
        yield "model of a wrong type", good.replace(f'"{MODEL}"'.encode(), b"7"), refused
        yield "model in an escape", good.replace(b'"model"', b'"mod\\u0065l"'), {200}


def run(programs):
    group = Group("documents")
    with Rig(programs) as rig:
        for dialect, (path, start) in DIALECTS.items():
            for name, body, want in bodies(start):
                headers = {"authorization": f"Bearer {KEY}"}
                if name.startswith("gzip"):
                    headers["content-encoding"] = "gzip"

                def one(name=name, body=body, want=want, headers=headers):
                    status, returned, response = rig.post(path, body, headers)
                    group.check(f"{dialect}: {name}", status, want)
                    if "surrogate" in name and status == 200 and "x-bedrock-gateway-warning" not in returned:
                        group.failures.append(f"{dialect}: {name}: no warning of the replacement")
                    if status >= 400:
                        json.loads(response)

                group.attempt(f"{dialect}: {name}", one)
        group.after(rig)
    return group
