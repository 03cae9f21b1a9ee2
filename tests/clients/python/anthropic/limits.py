"""What the `anthropic` package makes of limits: prints headers, exceptions and how many requests it sent as one JSON object.

Environment: ANTHROPIC_BASE_URL (two requests a minute), BUDGET_URL (its tokens of the day are used up by the first request).
"""

import json
import os

import anthropic

sent = 0


def count(_request):
    global sent
    sent += 1


def client(url, retries):
    http = anthropic.DefaultHttpxClient(event_hooks={"request": [count]}, timeout=60)
    return anthropic.Anthropic(base_url=url, max_retries=retries, http_client=http)


def ask(one):
    return one.messages.with_raw_response.create(
        model=os.environ["MODEL"], max_tokens=100, messages=[{"role": "user", "content": "hello"}]
    )


def refusal(one):
    global sent
    sent = 0
    try:
        ask(one)
    except anthropic.RateLimitError as error:
        return {
            "type": error.body["error"]["type"],
            "message": str(error),
            "retry_after": error.response.headers.get("retry-after"),
            "remaining": error.response.headers.get("anthropic-ratelimit-requests-remaining"),
            "sent": sent,
        }


minute = client(os.environ["ANTHROPIC_BASE_URL"], 0)
headers = ask(minute).headers
ask(minute)
budget = client(os.environ["BUDGET_URL"], 2)
ask(budget)
names = ["requests-limit", "requests-remaining", "requests-reset"]
print(
    json.dumps(
        {
            "headers": [headers.get(f"anthropic-ratelimit-{name}") for name in names],
            "minute": refusal(minute),
            "day": refusal(budget),
        }
    )
)
