"""The `openai` package over TLS while the gateway's certificate and its authority are rotated: one JSON object.

Environment: OPENAI_BASE_URL and OPENAI_API_KEY, as the package itself reads them; CA_FILE, MODEL, SECONDS. The host of the URL is a
name of the cluster, which this script resolves to this machine.
"""

import hashlib
import json
import os
import socket
import ssl
import time

import httpx2
from openai import APIConnectionError, OpenAI

resolve = socket.getaddrinfo


def on_this_machine(host, *arguments, **options):
    local = "127.0.0.1" if str(host).endswith(".svc") else host
    return resolve(local, *arguments, **options)


socket.getaddrinfo = on_this_machine
certificates, bundles, failures, requests = set(), set(), [], 0


def seen(response):
    stream = response.extensions["network_stream"].get_extra_info("ssl_object")
    certificates.add(hashlib.sha256(stream.getpeercert(True)).hexdigest())


def client(context):
    http = httpx2.Client(verify=context, event_hooks={"response": [seen]}, trust_env=False)
    return OpenAI(max_retries=0, timeout=30, http_client=http)


def chat(client, stream):
    messages = [{"role": "user", "content": "hello"}]
    response = client.chat.completions.create(model=os.environ["MODEL"], messages=messages, stream=stream)
    if stream:
        return "".join(chunk.choices[0].delta.content or "" for chunk in response if chunk.choices)
    return response.choices[0].message.content


end = time.monotonic() + float(os.environ["SECONDS"])
while time.monotonic() < end:
    # An app that starts now: it reads the file once.
    with open(os.environ["CA_FILE"]) as file:
        bundle = file.read()
    bundles.add(hashlib.sha256(bundle.encode()).hexdigest())
    with client(ssl.create_default_context(cadata=bundle)) as app:
        for stream in [False, True]:
            requests += 1
            try:
                assert chat(app, stream), "an empty response"
            except Exception as error:
                failures.append(repr(error.__cause__ or error))
    time.sleep(0.2)

untrusted = None
try:
    chat(client(ssl.create_default_context()), False)
except APIConnectionError as error:
    cause = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__
    untrusted = type(cause).__name__

print(
    json.dumps(
        {
            "requests": requests,
            "failures": failures[:5],
            "certificates": len(certificates),
            "bundles": len(bundles),
            "untrusted": untrusted,
        }
    )
)
