"""What the `openai` package makes of limits: prints headers, exceptions and how many requests it sent as one JSON object.

Environment: OPENAI_BASE_URL (two requests a minute), BUDGET_URL (its tokens of the day are used up by the first request).
"""

import json
import os

import openai

sent = 0


def count(_request):
    global sent
    sent += 1


def client(url, retries):
    http = openai.DefaultHttpxClient(event_hooks={"request": [count]}, timeout=60)
    return openai.OpenAI(base_url=url, max_retries=retries, http_client=http)


def ask(one):
    return one.chat.completions.with_raw_response.create(
        model=os.environ["MODEL"], messages=[{"role": "user", "content": "hello"}]
    )


def refusal(one):
    global sent
    sent = 0
    try:
        ask(one)
    except openai.RateLimitError as error:
        return {
            "type": error.type,
            "code": error.code,
            "message": str(error),
            "retry_after": error.response.headers.get("retry-after"),
            "remaining": error.response.headers.get("x-ratelimit-remaining-requests"),
            "sent": sent,
        }


minute = client(os.environ["OPENAI_BASE_URL"], 0)
headers = ask(minute).headers
ask(minute)
budget = client(os.environ["BUDGET_URL"], 2)
ask(budget)
names = ["limit-requests", "remaining-requests", "reset-requests"]
print(
    json.dumps(
        {
            "headers": [headers.get(f"x-ratelimit-{name}") for name in names],
            "minute": refusal(minute),
            "day": refusal(budget),
        }
    )
)
