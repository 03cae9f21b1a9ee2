// The `openai` package for Node: text streamed and not, a tool, an error; prints what it saw as JSON.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0, timeout: 30_000 });
const model = process.env.MODEL;
const messages = [{ role: "user", content: process.env.PROMPT }];

const plain = await client.chat.completions.create({ model, messages });
let streamed = "";
let finish = null;
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  finish = chunk.choices[0]?.finish_reason ?? finish;
}
const tools = [
  { type: "function", function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } } },
];
const runner = client.chat.completions.stream({
  model,
  tools,
  messages: [{ role: "user", content: '@tool get_weather {"city":"Paris"}' }],
});
const called = (await runner.finalChatCompletion()).choices[0].message.tool_calls;
const refusal = await client.chat.completions.create({ model, messages: [] }).catch((error) => error);
console.log(
  JSON.stringify({
    plain: plain.choices[0].message.content,
    streamed,
    finish,
    calls: called.map((call) => [call.function.name, call.function.arguments]),
    refusal: [refusal.constructor.name, refusal.status, refusal.param],
  }),
);
