"""Calls of Bedrock for one call of an SDK, while Bedrock fails. The client here retries as the SDKs of OpenAI and Anthropic do:
twice, unless `x-should-retry: false`."""

import json
import time

from cases import Group
from rig import KEY, MODEL, Rig, chat

RETRIES = 2
RETRIED = {408, 409, 429}
SURFACES = {
    "chat": ("/v1/chat/completions", "Converse", chat()),
    "messages": ("/v1/messages", "Converse", chat(max_tokens=10)),
    "responses": ("/v1/responses", "Converse", json.dumps({"model": MODEL, "input": "hi"}).encode()),
    "converse": (f"/model/{MODEL}/converse", "Converse", json.dumps({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}).encode()),
    "chat stream": ("/v1/chat/completions", "ConverseStream", chat(stream=True)),
}


def error(status, code):
    return {"kind": "error", "status": status, "code": code}


#: Name, fault, most calls of Bedrock for one call of an SDK once the budget of retries is spent.
FAULTS = [
    ("throttled", error(429, "ThrottlingException"), 6),
    ("unavailable", error(503, "ServiceUnavailableException"), 6),
    ("internal error", error(500, "InternalServerException"), 6),
    ("not ready", error(429, "ModelNotReadyException"), 6),
    ("connection closed", {"kind": "disconnect"}, 6),
    ("invalid body", {"kind": "garbage"}, 6),
    ("invalid request", error(400, "ValidationException"), 1),
    ("access denied", error(403, "AccessDeniedException"), 1),
]


def sdk_call(rig, path, body):
    """Calls of the gateway for one call of an SDK, and the last status."""
    for attempt in range(RETRIES + 1):
        try:
            status, headers, _ = rig.post(path, body, {"authorization": f"Bearer {KEY}"}, timeout=60)
        except OSError:
            status, headers = 599, {}
        headers = {name.lower(): value for name, value in headers.items()}
        again = headers.get("x-should-retry")
        if status < 400 or again == "false" or (again is None and status not in RETRIED and status < 500) or attempt == RETRIES:
            return attempt + 1, status


def run(programs):
    group = Group("amplification")
    with Rig(programs) as rig:
        for surface, (path, operation, body) in SURFACES.items():
            for name, action, most in FAULTS:
                def one(surface=surface, path=path, operation=operation, body=body, name=name, action=action, most=most):
                    case = f"{surface}: {name}"
                    rig.clear_calls()
                    rig.fault(operation, action)
                    started = time.monotonic()
                    asked = 0
                    statuses = set()
                    for _ in range(10):
                        calls, status = sdk_call(rig, path, body)
                        asked += calls
                        statuses.add(status)
                    reached = len(rig.aws_calls(operation))
                    rig.clear_calls()
                    group.expect(case, reached <= most * 10, f"{reached} calls of Bedrock for 10 calls of an SDK ({asked} requests)")
                    group.expect(f"{case}: time", time.monotonic() - started < 30, f"{time.monotonic() - started:.1f} s")
                    group.figures[case] = round(reached / 10, 1)
                    # Bedrock's own API passes the bytes of a response with status 200 unchanged.
                    if case != "converse: invalid body":
                        group.check(f"{case}: an error", min(statuses) >= 400, True)

                group.attempt(f"{surface}: {name}", one)
        rig.clear_calls()
        group.after(rig)
    return group
