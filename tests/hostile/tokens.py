"""Credentials of clients that are not theirs: keys, tokens of ServiceAccounts, signatures, and how often one may guess."""

import base64
import datetime
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

import wire
from cases import Group
from rig import KEY, MODEL, Rig, chat

ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIENCE = "bedrockaccess.dev/team-a/chat"
SUBJECT = "system:serviceaccount:team-a:app"


def b64(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Keys:
    """Keys of the cluster, and one that is not the cluster's."""

    def __init__(self):
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.other = rsa.generate_private_key(65537, 2048)

    def jwk(self, private):
        public = private.public_key().public_numbers()
        return {"kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": number(public.n), "e": number(public.e)}

    def set(self):
        point = self.ec.public_key().public_numbers()
        curve = {"kty": "EC", "kid": "ec", "crv": "P-256", "x": b64(point.x.to_bytes(32, "big")), "y": b64(point.y.to_bytes(32, "big"))}
        return {"keys": [self.jwk(self.rsa), curve]}

    def pem(self):
        public = self.rsa.public_key()
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def der(self):
        public = self.rsa.public_key()
        return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, header, claims, key=None):
        text = f"{b64(header)}.{b64(claims)}".encode()
        key = key or self.rsa
        if header.get("alg") == "ES256":
            r, s = utils.decode_dss_signature(self.ec.sign(text, ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        elif header.get("alg") == "PS256":
            signature = key.sign(text, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        else:
            digest = {"RS384": hashes.SHA384, "RS512": hashes.SHA512}.get(header.get("alg"), hashes.SHA256)
            signature = key.sign(text, padding.PKCS1v15(), digest())
        return f"{text.decode()}.{b64(signature)}"


def claims(**changed):
    now = int(time.time())
    found = {"iss": ISSUER, "sub": SUBJECT, "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + 600, **changed}
    return {name: value for name, value in found.items() if value is not None}


def tokens(keys):
    """Name, token, status."""
    head = {"alg": "RS256", "kid": "rsa", "typ": "JWT"}
    good = keys.sign(head, claims())
    yield "good", good, {200}
    yield "good with ES256", keys.sign({"alg": "ES256", "kid": "ec"}, claims()), {200}
    yield "good without kid", keys.sign({"alg": "RS256"}, claims()), {200}
    yield "audience as text", keys.sign(head, claims(aud=AUDIENCE)), {200}
    yield "several audiences", keys.sign(head, claims(aud=["x", AUDIENCE])), {200}
    first, payload, signature = good.split(".")
    unsigned = f"{payload}."
    for alg in ["none", "None", "NONE", "nOnE", "", "null"]:
        yield f"alg {alg!r} without a signature", f"{b64({'alg': alg, 'kid': 'rsa'})}.{unsigned}", {401}
        yield f"alg {alg!r} with a signature", f"{b64({'alg': alg, 'kid': 'rsa'})}.{payload}.{signature}", {401}
    secrets = {"PEM": keys.pem(), "PEM without its end": keys.pem().strip(), "DER": keys.der(), "empty": b"", "kid": b"rsa",
               "n": number(keys.rsa.public_key().public_numbers().n).encode(), "key set": json.dumps(keys.set()).encode()}
    for name, secret in secrets.items():
        for alg, digest in [("HS256", hashlib.sha256), ("HS512", hashlib.sha512)]:
            text = f"{b64({'alg': alg, 'kid': 'rsa'})}.{payload}"
            yield f"{alg} with the public key as {name}", f"{text}.{b64(hmac.new(secret, text.encode(), digest).digest())}", {401}
    yield "PS256 with the right key", keys.sign({"alg": "PS256", "kid": "rsa"}, claims()), {401}
    yield "ES256 with the RSA key's id", keys.sign({"alg": "ES256", "kid": "rsa"}, claims()), {401}
    yield "RS256 with the EC key's id", keys.sign({"alg": "RS256", "kid": "ec"}, claims()), {401}
    yield "another cluster's key", keys.sign(head, claims(), keys.other), {401}
    yield "another cluster's key without kid", keys.sign({"alg": "RS256"}, claims(), keys.other), {401}
    for kid in ["../../../dev/null", "rsa' OR '1'='1", "rsa\x00", "", "https://evil.example/k", "RSA", 7, None, ["rsa"]]:
        yield f"kid {kid!r} and another key", keys.sign({"alg": "RS256", "kid": kid}, claims(), keys.other), {401}
    own = keys.jwk(keys.other)
    for name, extra in [("jwk", own), ("jku", "https://evil.example/keys"), ("x5u", "https://evil.example/c"), ("x5c", ["MIIB"]),
                        ("x5t", "abc")]:
        yield f"{name} with an own key", keys.sign({**head, name: extra}, claims(), keys.other), {401}
    for crit in [["exp"], ["b64"], ["x-unknown"], [], "exp", None]:
        want = {401} if crit is not None else {200, 401}
        yield f"crit {crit!r}", keys.sign({**head, "crit": crit, "b64": False}, claims()), want
    yield "b64 false without crit", keys.sign({**head, "b64": False}, claims()), {200, 401}
    for name, changed in {
        "no audience": {"aud": None}, "empty audience": {"aud": []}, "audience of the API server": {"aud": ["https://kubernetes.default.svc"]},
        "audience of another namespace": {"aud": ["bedrockaccess.dev/team-b/chat"]}, "audience with a suffix": {"aud": [AUDIENCE + "x"]},
        "audience as a prefix": {"aud": ["bedrockaccess.dev/team-a/"]}, "audience in capitals": {"aud": [AUDIENCE.upper()]},
        "audience as a number": {"aud": 7}, "audience of STS": {"aud": ["sts.amazonaws.com"]}, "no issuer": {"iss": None},
        "other issuer": {"iss": "https://evil.example"}, "issuer with a slash": {"iss": ISSUER + "/"}, "issuer with a path": {"iss": ISSUER + "/x"},
        "expired": {"exp": int(time.time()) - 1}, "expired long ago": {"exp": 1}, "no expiry": {"exp": None}, "negative expiry": {"exp": -1},
        "expiry as text": {"exp": "9999999999"}, "expiry out of range": {"exp": 1 << 70}, "expiry as a fraction": {"exp": 1e300},
        "not yet valid": {"nbf": int(time.time()) + 300}, "valid from out of range": {"nbf": (1 << 64) - 1},
        "subject missing": {"sub": None}, "subject of a user": {"sub": "admin"}, "subject of a group": {"sub": "system:masters"},
        "subject without a name": {"sub": "system:serviceaccount:team-a"},
    }.items():
        yield name, keys.sign(head, claims(**changed)), {401}
    for name, subject in {
        "another name": "system:serviceaccount:team-a:other", "another namespace": "system:serviceaccount:team-b:app",
        "parts moved": "system:serviceaccount:team:a:app", "name with a suffix": SUBJECT + ":x", "empty name": "system:serviceaccount:team-a:",
        "name in capitals": "system:serviceaccount:team-a:APP", "spaces": "system:serviceaccount:team-a: app", "NUL": SUBJECT + "\x00",
    }.items():
        yield f"subject with {name}", keys.sign(head, claims(sub=subject)), {401, 403}
    other = keys.sign(head, claims(sub="system:serviceaccount:team-a:other"))
    yield "signature of another token", ".".join([first, other.split(".")[1], signature]), {401}
    yield "claims exchanged", ".".join([first, b64(claims(sub="system:serviceaccount:team-b:app")), signature]), {401}
    deep = b'{"a":' * 500 + b"1" + b"}" * 500
    for name, token in {
        "no signature": f"{first}.{payload}.", "two parts": f"{first}.{payload}", "four parts": good + ".x", "empty parts": "eyJ..",
        "signature cut": good[:-4], "signature with padding": good + "==", "first part cut": "eyJ" + good[10:], "spaces inside": good.replace(".", " . "),
        "last bit changed": good[:-1] + ("A" if good[-1] != "A" else "Q"), "doubled": f"{good}.{good}", "standard alphabet": good.replace("-", "+").replace("_", "/") + "+",
        "1 MB": good + "A" * 60_000, "empty object": f"{b64({})}.{b64({})}.{signature}", "arrays": f"{b64([])}.{payload}.{signature}",
        "JWE": f"{b64({'alg': 'dir', 'enc': 'A128GCM'})}..AAAA.AAAA.AAAA", "signature of zeros": f"{first}.{payload}.{b64(bytes(256))}",
        "signature of ones": f"{first}.{payload}.{b64(bytes([255] * 256))}", "ES256 of zeros": f"{b64({'alg': 'ES256', 'kid': 'ec'})}.{payload}.{b64(bytes(64))}",
        "deep header": f"{b64(deep)}.{payload}.{signature}",
    }.items():
        yield f"token: {name}", token, {401, 431}


def keys_of_clients():
    """Headers with keys, and the status."""
    for name, headers, status in [
        ("none", {}, 401), ("wrong", {"authorization": "Bearer sk-wrong"}, 401), ("empty", {"authorization": "Bearer "}, 401),
        ("prefix", {"authorization": f"Bearer {KEY[:-1]}"}, 401), ("suffix", {"authorization": f"Bearer {KEY}x"}, 401),
        ("capitals", {"authorization": f"Bearer {KEY.upper()}"}, 401), ("basic", {"authorization": "Basic " + base64.b64encode(f"good:{KEY}".encode()).decode()}, 401),
        ("no scheme", {"authorization": KEY}, 401), ("two keys in one", {"authorization": f"Bearer wrong {KEY}"}, 401),
        ("list", {"authorization": f"Bearer wrong, Bearer {KEY}"}, 401), ("name of the client", {"authorization": "Bearer good"}, 401),
        ("file name", {"authorization": "Bearer ../keys/good"}, 401), ("x-api-key wrong", {"x-api-key": "x"}, 401), ("x-api-key right", {"x-api-key": KEY}, 200),
        ("right", {"authorization": f"Bearer {KEY}"}, 200), ("wrong bearer beside a right x-api-key", {"authorization": "Bearer wrong", "x-api-key": KEY}, 401),
        ("in a cookie", {"cookie": f"key={KEY}"}, 401), ("in x-goog-api-key", {"x-goog-api-key": KEY}, 401), ("in proxy-authorization", {"proxy-authorization": f"Bearer {KEY}"}, 401),
        ("UTF-8", {"authorization": "Bearer \xe9\xe8".encode("latin-1")}, 401), ("60 KB", {"authorization": "Bearer " + "k" * 60_000}, 401),
        ("forwarded address", {"x-forwarded-for": "127.0.0.1"}, 401), ("forwarded user", {"x-remote-user": "good"}, 401),
    ]:
        yield f"key: {name}", headers, status


def signed(method, path, body, *, secret=KEY, client="good", at=None, region="us-east-1", service="bedrock", scope_date=None,
           signed_headers=("content-type", "host", "x-amz-date"), signature=None, terminator="aws4_request", hash_header=None):
    """Headers of a request that is signed by hand, as the AWS documentation describes it."""
    at = at or datetime.datetime.now(datetime.timezone.utc)
    stamp, day = at.strftime("%Y%m%dT%H%M%SZ"), scope_date or at.strftime("%Y%m%d")
    headers = {"content-type": "application/json", "host": "gateway", "x-amz-date": stamp}
    digest = hashlib.sha256(body).hexdigest()
    if hash_header is not None:
        headers["x-amz-content-sha256"] = hash_header
        digest = hash_header
    canonical = path.replace(":", "%3A").replace("%", "%25") if "%" not in path else path.replace("%", "%25")
    names = sorted(signed_headers)
    text = "\n".join([method, canonical, "", *[f"{one}:{headers.get(one, '')}" for one in names], "", ";".join(names), digest])
    scope = f"{day}/{region}/{service}/{terminator}"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(text.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in [day, region, service, terminator]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = signature if signature is not None else hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={client}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return headers


PATH = f"/model/{MODEL.replace(':', '%3A')}/converse"
CONVERSE = json.dumps({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}).encode()


def signatures():
    """Name, headers, body, status."""
    now = datetime.datetime.now(datetime.timezone.utc)
    digest = hashlib.sha256(CONVERSE).hexdigest()

    def row(name, status, body=CONVERSE, edit=None, **how):
        headers = signed("POST", PATH, CONVERSE, **how)
        if edit:
            edit(headers)
        return f"signature: {name}", headers, body, status

    yield row("good", {200})
    yield row("good with the hash of the body", {200}, hash_header=digest, signed_headers=("host", "x-amz-content-sha256", "x-amz-date"))
    yield row("wrong secret", {401}, secret="sk-wrong")
    yield row("empty secret", {401}, secret="")
    yield row("unknown client", {401}, client="unknown")
    yield row("path as a client", {401}, client="../keys/good")
    yield row("zeros", {401}, signature="0" * 64)
    yield row("empty", {401}, signature="")
    yield row("short", {401}, signature="ab")
    yield row("not hexadecimal", {401}, signature="z" * 64)
    yield row("other body", {401}, body=CONVERSE.replace(b"hi", b"ho"))
    yield row("no body", {401}, body=b"")
    yield row("other region", {401}, region="eu-west-1")
    yield row("other service", {401}, service="s3")
    yield row("service sts", {401}, service="sts")
    yield row("other end of the scope", {401}, terminator="aws4_reques")
    yield row("day of the scope", {401}, scope_date="20200101")
    for minutes in [-6, -60, 6, 60, 60 * 24 * 365]:
        yield row(f"{minutes} minutes", {401}, at=now + datetime.timedelta(minutes=minutes))
    yield row("host not signed", {401}, signed_headers=("content-type", "x-amz-date"))
    yield row("date not signed", {401}, signed_headers=("content-type", "host"))
    yield row("no header signed", {401}, signed_headers=())
    yield row("hash of another body", {401}, hash_header="0" * 64, signed_headers=("host", "x-amz-content-sha256", "x-amz-date"))
    yield row("hash not signed", {401}, hash_header="0" * 64)
    yield row("unsigned payload", {200, 401}, hash_header="UNSIGNED-PAYLOAD", signed_headers=("host", "x-amz-content-sha256", "x-amz-date"))
    yield row("streaming payload", {400, 401}, hash_header="STREAMING-AWS4-HMAC-SHA256-PAYLOAD", signed_headers=("host", "x-amz-content-sha256", "x-amz-date"))
    yield row("host changed", {401}, edit=lambda h: h.update(host="evil.example"))
    yield row("date changed", {401}, edit=lambda h: h.update({"x-amz-date": now.strftime("%Y%m%dT000000Z")}))
    yield row("date missing", {401}, edit=lambda h: h.pop("x-amz-date"))
    yield row("date of letters", {401}, edit=lambda h: h.update({"x-amz-date": "yesterday"}))
    yield row("another version of SigV4", {401}, edit=lambda h: h.update(authorization=h["authorization"].replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")))
    yield row("parts missing", {401}, edit=lambda h: h.update(authorization=h["authorization"].split(", Signature")[0]))
    yield row("parts twice", {200, 401}, edit=lambda h: h.update(authorization=h["authorization"] + ", Signature=" + "0" * 64))
    yield row("a header of AWS added", {200, 401}, edit=lambda h: h.update({"x-amz-security-token": "abc"}))


def run(programs):
    group = Group("tokens")
    keys = Keys()
    clients = {"serviceAccounts": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": keys.set(),
                                   "subjects": [{"namespace": "team-a", "name": "app"}]}}
    with Rig(programs, document={"clients": clients}) as rig:
        rig.clear_calls()
        turn = 0

        def source():
            nonlocal turn
            turn += 1
            return f"127.0.{3 + turn // 2000}.{turn // 10 % 200 + 1}"

        def ask(case, headers, want, path="/v1/chat/completions", body=None):
            def one():
                status, _, response = rig.post(path, chat() if body is None else body, headers, source=source())
                group.check(case, status, want)
                if KEY.encode() in response:
                    group.failures.append(f"{case}: the key is in the response")

            group.attempt(case, one)

        for name, token, want in tokens(keys):
            ask(f"token {name}", {"authorization": b"Bearer " + token.encode()}, want)
        for name, headers, status in keys_of_clients():
            ask(name, headers, {status})
        for name, headers, body, want in signatures():
            ask(name, headers, want, PATH, body)
        for path in ["/v1/messages", "/v1/responses", "/v1/embeddings", "/v1/images/generations", "/v1/rerank", "/v1/messages/count_tokens",
                     "/model/x/invoke", "/model/x/converse-stream", "/model/x/count-tokens", "/guardrail/x/version/1/apply"]:
            ask(f"no key: {path}", {}, {401, 403}, path)
        presigned = f"{PATH}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=good%2F20260101%2Fus-east-1%2Fbedrock%2Faws4_request&X-Amz-Signature={'0' * 64}"
        ask("presigned URL", {}, {401, 403}, presigned, CONVERSE)
        old = signed("POST", PATH, CONVERSE)
        ask("signature sent twice at once", old, {200}, PATH, CONVERSE)
        ask("the same on another path", old, {401}, PATH.replace("lite", "pro"), CONVERSE)
        calls = len([call for call in rig.aws_calls() if call["service"] == "bedrock-runtime"])
        group.figures["calls_of_aws"] = calls
        guessing(group, rig)
        group.after(rig)
        secrets = [line for line in rig.log_lines() if KEY.encode() in line or b"eyJhbGciOi" in line]
        group.expect("no key and no token is in the log", not secrets, secrets[:1])
    return group


def guessing(group, rig):
    """Guesses on one connection: thirty get a response at once, then one a second. A good key is never delayed."""
    source = "127.0.9.1"
    body = chat()
    statuses, started = [], time.monotonic()
    while time.monotonic() - started < 5:
        with rig.connect(source=source) as plain:
            status = 401
            while status and time.monotonic() - started < 5:
                guess = b"sk-guess-%d" % len(statuses)
                head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " + guess
                status = wire.until_response(plain, head + b"\r\ncontent-length: 0\r\n\r\n")
                statuses += [status] if status else []
    group.expect("guesses are refused", set(statuses) == {401}, set(statuses))
    group.expect("guesses are slowed", 30 <= len(statuses) <= 40, f"{len(statuses)} guesses in 5 s on one connection")
    group.figures["guesses_in_5_s"] = len(statuses)
    slowest = 0.0
    for _ in range(20):
        started = time.monotonic()
        group.check("a good key from the same address", rig.good(source=source), 200)
        slowest = max(slowest, time.monotonic() - started)
    group.expect("a good key from the same address is not delayed", slowest < 0.5, f"{slowest:.3f} s")
    raw = (b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sk-wrong\r\ncontent-length: 0\r\n\r\n"
           b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " + KEY.encode() +
           b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    with rig.connect(source=source) as plain:
        statuses, closed, _ = wire.exchange(plain, raw)
        group.check("a guess and a good key on one connection", wire.outcome(statuses, closed), {"401,200"})
