// The Vercel AI SDK with each provider that a gateway serves: text, a stream, a tool loop, an object, an error; prints
// what it saw as JSON. Environment: URL, KEY, PROMPT; PROVIDERS as JSON, a name and a model of each.
import { createAmazonBedrock } from "@ai-sdk/amazon-bedrock";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { URL: url, KEY: apiKey, PROMPT: prompt } = process.env;
const baseURL = `${url}/v1`;
const create = {
  compatible: createOpenAICompatible({ name: "gateway", baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true }),
  chat: createOpenAI({ baseURL, apiKey }).chat,
  responses: createOpenAI({ baseURL, apiKey }),
  anthropic: createAnthropic({ baseURL, apiKey }),
  bedrock: createAmazonBedrock({ baseURL: url, apiKey, region: "us-east-1" }),
};
const seen = {};
for (const [provider, name] of JSON.parse(process.env.PROVIDERS)) {
  const common = { model: create[provider](name), maxRetries: 0, maxOutputTokens: 2000, providerOptions: { openai: { store: false } } };
  const plain = await generateText({ ...common, prompt });
  let streamed = "";
  const stream = streamText({ ...common, prompt });
  for await (const part of stream.textStream) streamed += part;
  const asked = [];
  const weather = tool({
    description: "Weather of a city",
    inputSchema: z.object({ city: z.string() }),
    execute: ({ city }) => {
      asked.push(city);
      return `sunny in ${city}`;
    },
  });
  const script = '@say Let me look.\n@reason Why.\n@tool get_weather {"city":"Paris"}\n@tool get_weather {"city":"Ulm"}';
  const loop = await generateText({ ...common, prompt: script, tools: { get_weather: weather }, stopWhen: stepCountIs(3) });
  // For Nova the provider for Bedrock has a tool of that name, which the model calls without text.
  const person = provider === "bedrock" && name.includes("nova") ? '@tool json {"name":"Ann","age":7}' : "A person.";
  const schema = z.object({ name: z.string(), age: z.number() });
  const { object } = await generateObject({ ...common, schema, prompt: person });
  const failure = await generateText({ ...common, prompt: "@error ThrottlingException slow down" }).catch((error) => error);
  seen[`${provider} ${name}`] = {
    plain: plain.text,
    usage: plain.usage.outputTokens,
    streamed,
    finish: await stream.finishReason,
    asked,
    steps: loop.steps.length,
    answer: loop.text,
    object: Object.keys(object),
    failure: [failure.name, failure.statusCode, failure.isRetryable],
  };
}
console.log(JSON.stringify(seen));
