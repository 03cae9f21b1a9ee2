"""Images with the `openai` package: prints their number, their format, and a refusal, as JSON."""

import base64
import json
import os

from openai import BadRequestError, OpenAI

client = OpenAI(max_retries=0, timeout=30)
model = os.environ["MODEL"]
made = client.images.generate(model=model, prompt="a fox", n=3, size="1024x1024", quality="high")
images = [base64.b64decode(one.b64_json) for one in made.data]
try:
    client.images.generate(model=model, prompt="a fox", response_format="url")
    refused = None
except BadRequestError as error:
    refused = [error.status_code, error.param]
print(
    json.dumps(
        {
            "png": [one.startswith(b"\x89PNG") for one in images],
            "different": len(set(images)),
            "created": made.created > 0,
            "refused": refused,
        }
    )
)
