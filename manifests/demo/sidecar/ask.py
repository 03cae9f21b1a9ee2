"""Calls the gateway with real client libraries, which are configured only by environment variables.

    ask.py once CLIENT...    calls with each client and exits; fails on the first wrong response
    ask.py stay CLIENT...    the same, then waits for SIGTERM
    ask.py stream            reads a slow stream completely, also if SIGTERM arrives
    ask.py look              tries to read the sidecar's token from every file system that the app can see
"""

import os
import pathlib
import signal
import sys

# Directory of the libraries in the image.
sys.path.insert(0, "/app/packages")

MODEL = "fast"
TOKEN = "var/run/secrets/eks.amazonaws.com/serviceaccount/token"
PRE_STOP = pathlib.Path("/scratch/pre-stop")


def openai(question):
    from openai import OpenAI

    messages = [{"role": "user", "content": question}]
    answer = OpenAI(max_retries=0).chat.completions.create(model=MODEL, messages=messages)
    return answer.choices[0].message.content


def anthropic(question):
    from anthropic import Anthropic

    messages = [{"role": "user", "content": question}]
    answer = Anthropic(max_retries=0).messages.create(model=MODEL, max_tokens=200, messages=messages)
    return answer.content[0].text


def socket(question):
    import httpx2
    from openai import OpenAI

    transport = httpx2.HTTPTransport(uds=os.environ["BEDROCK_GATEWAY_SOCKET"])
    client = OpenAI(max_retries=0, http_client=httpx2.Client(transport=transport))
    messages = [{"role": "user", "content": question}]
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    return answer.choices[0].message.content


def bedrock(question):
    import boto3

    messages = [{"role": "user", "content": [{"text": question}]}]
    answer = boto3.client("bedrock-runtime").converse(modelId=MODEL, messages=messages)
    return answer["output"]["message"]["content"][0]["text"]


def ask(clients):
    """Checks that each client gets its question back, because the simulated model repeats its input."""
    for client in clients:
        question = f"This is {os.uname().nodename} by {client}."
        answer = globals()[client](question)
        if answer != question:
            sys.exit(f"{client}: sent {question!r}, received {answer!r}")
        print(f"{client} answered", flush=True)


def stream():
    from openai import OpenAI

    signals = []
    signal.signal(signal.SIGTERM, lambda *_: signals.append("received SIGTERM"))
    question = "@slow 1s\n@repeat 50 word"
    messages = [{"role": "user", "content": question}]
    chunks, reason = 0, None
    answer = OpenAI(max_retries=0).chat.completions.create(model=MODEL, messages=messages, stream=True)
    for chunk in answer:
        if chunks == 0:
            print("streaming", flush=True)
        chunks += 1
        if chunk.choices and chunk.choices[0].finish_reason:
            reason = chunk.choices[0].finish_reason
    if PRE_STOP.exists():
        print(f"preStop: {PRE_STOP.read_text()}")
    print(f"the stream completed ({reason}) after {chunks} chunks, {' '.join(signals) or 'no signal'}", flush=True)


def look():
    """Checks the own file system and those of all visible processes."""
    for root in [pathlib.Path("/"), *pathlib.Path("/proc").glob("[0-9]*/root")]:
        try:
            text = (root / TOKEN).read_text()
        except OSError:
            continue
        sys.exit(f"{root}: a token of {len(text)} characters can be read")
    print("no token can be read")


def main(mode, *clients):
    if mode == "look":
        look()
    elif mode == "stream":
        stream()
    elif mode == "pre-stop":
        ask(clients)
        PRE_STOP.write_text("answered")
    else:
        if mode == "stay":
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        ask(clients)
        if mode == "stay":
            signal.sigwait([signal.SIGTERM])


main(*sys.argv[1:])
