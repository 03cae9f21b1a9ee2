// Responses with the `openai` package for Node: streamed by hand and by its helper, a tool, a failure; prints what it
// saw as JSON.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0, timeout: 30_000 });
const model = process.env.MODEL;
const input = process.env.PROMPT;

let streamed = "";
const types = [];
for await (const event of await client.responses.create({ model, input, stream: true })) {
  types.push(event.type);
  if (event.type === "response.output_text.delta") streamed += event.delta;
}
const final = await client.responses.stream({ model, input }).finalResponse();
const tools = [
  { type: "function", name: "get_weather", strict: false, parameters: { type: "object", properties: { city: { type: "string" } } } },
];
const called = await client.responses
  .stream({ model, tools, input: '@tool get_weather {"city":"Paris"}' })
  .finalResponse();
const refusal = await client.responses
  .create({ model, input, previous_response_id: "resp_1" })
  .catch((error) => error);
let failure;
try {
  const broken = await client.responses.create({ model, input: "@midstream-exception throttlingException 2 slow down\nhello", stream: true });
  for await (const event of broken) failure = event.type;
} catch (error) {
  failure = [error.constructor.name, error.code];
}
console.log(
  JSON.stringify({
    streamed,
    types,
    final: final.output_text,
    calls: called.output.filter((item) => item.type === "function_call").map((call) => [call.name, call.arguments]),
    refusal: [refusal.constructor.name, refusal.status, refusal.param],
    failure,
  }),
);
