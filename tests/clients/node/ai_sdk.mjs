// The Vercel AI SDK with its OpenAI-compatible provider: text, a stream, a tool; prints what it saw as JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText, tool } from "ai";
import { z } from "zod";

const provider = createOpenAICompatible({
  name: "bedrock",
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
});
const model = provider(process.env.MODEL);
const prompt = process.env.PROMPT;

const plain = await generateText({ model, prompt, maxRetries: 0 });
let streamed = "";
const stream = streamText({ model, prompt, maxRetries: 0 });
for await (const part of stream.textStream) streamed += part;
const called = await generateText({
  model,
  maxRetries: 0,
  prompt: '@tool get_weather {"city":"Paris"}',
  tools: { get_weather: tool({ description: "Weather of a city", inputSchema: z.object({ city: z.string() }) }) },
});
console.log(
  JSON.stringify({
    plain: plain.text,
    streamed,
    finish: await stream.finishReason,
    calls: called.toolCalls.map((call) => [call.toolName, call.input]),
  }),
);
