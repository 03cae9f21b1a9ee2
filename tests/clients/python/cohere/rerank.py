"""Cohere's client, both versions of its API: prints the order it got as JSON."""

import json
import os

import cohere

url = os.environ["OPENAI_BASE_URL"].removesuffix("/v1")
key = os.environ["OPENAI_API_KEY"]
model = os.environ["MODEL"]
documents = ["a cat", "a red fox", "a fox"]

newer = cohere.ClientV2(api_key=key, base_url=url).rerank(
    model=model, query="red fox", documents=documents, top_n=2
)
older = cohere.Client(api_key=key, base_url=url).rerank(
    model=model, query="red fox", documents=documents, top_n=2, return_documents=True
)
print(
    json.dumps(
        {
            "newer": [one.index for one in newer.results],
            "older": [[one.index, one.document.text] for one in older.results],
            "falling": newer.results[0].relevance_score > newer.results[1].relevance_score,
            "units": newer.meta.billed_units.search_units,
        }
    )
)
