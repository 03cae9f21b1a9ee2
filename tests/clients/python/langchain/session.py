"""An agent of LangChain with two tools: a long conversation, of which each prompt has calls.

Environment: OPENAI_BASE_URL and OPENAI_API_KEY, as the package itself reads them; MODEL; PROMPTS, their number.
"""

import json
import os

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def lookup(name: str) -> str:
    """Looks up a record and returns its lines."""
    return "\n".join(f"{name} line {line}: a value of the record" for line in range(20))


@tool
def add(a: int, b: int) -> int:
    """Adds two whole numbers."""
    return a + b


rules = "\n".join(f"Rule {number}: answer briefly, and look records up before you answer." for number in range(150))
model = ChatOpenAI(model=os.environ["MODEL"], streaming=True, stream_usage=True, max_retries=0, timeout=60)
agent = create_agent(model, [lookup, add], system_prompt=rules)
messages = []
for prompt in range(int(os.environ["PROMPTS"])):
    calls = [
        f'@tool lookup {{"name":"record-{prompt}"}}',
        f'@tool add {{"a":{prompt},"b":2}}\n@tool add {{"a":{prompt},"b":3}}',
    ]
    messages.append({"role": "user", "content": f"@say Step {prompt}.\n{calls[prompt % 2]}"})
    messages = agent.invoke({"messages": messages})["messages"]
print(json.dumps({"messages": len(messages), "last": messages[-1].text}))
