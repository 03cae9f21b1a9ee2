"""The tool runner of `anthropic` against a gateway: prints what it saw as one JSON object, for the suite to judge.

Environment: ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY, as the package itself reads them; MODELS, separated by commas.
"""

import json
import os

from anthropic import Anthropic, beta_tool

asked = []


@beta_tool
def get_weather(city: str) -> str:
    """Weather of a city.

    Args:
        city: The city.
    """
    asked.append(city)
    return f"sunny in {city}"


client = Anthropic(max_retries=0, timeout=60)
prompt = '@say Let me look.\n@tool get_weather {"city":"Paris"}\n@tool get_weather {"city":"Ulm"}'
seen = {}
for model in os.environ["MODELS"].split(","):
    seen[model] = {}
    for stream in (False, True):
        asked.clear()
        settings = {"model": model, "max_tokens": 500, "tools": [get_weather], "stream": stream}
        runner = client.beta.messages.tool_runner(messages=[{"role": "user", "content": prompt}], **settings)
        last = runner.until_done()
        seen[model]["streamed" if stream else "plain"] = {"asked": list(asked), "answer": last.content[-1].text}
print(json.dumps(seen))
