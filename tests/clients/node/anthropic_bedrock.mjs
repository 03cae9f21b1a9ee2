// `@anthropic-ai/bedrock-sdk` against a gateway: prints what it saw as one JSON object, for the suite to judge.
// Environment: ANTHROPIC_BEDROCK_BASE_URL and AWS_REGION, as the package itself reads them; KEY, MODEL and PROMPT.
import { AnthropicBedrock } from "@anthropic-ai/bedrock-sdk";

const { KEY, MODEL, PROMPT } = process.env;
const common = { maxRetries: 0, timeout: 60_000 };
const clients = {
  "key as id": new AnthropicBedrock({ awsAccessKey: KEY, awsSecretKey: "anything", ...common }),
  signed: new AnthropicBedrock({ awsAccessKey: "default", awsSecretKey: KEY, ...common }),
  bearer: new AnthropicBedrock({ apiKey: KEY, ...common }),
};
const tools = [{ name: "weather", description: "Weather of a city.", input_schema: { type: "object", properties: {} } }];
const ask = (content, more = {}) => ({ model: MODEL, max_tokens: 4000, messages: [{ role: "user", content }], ...more });

async function refusal(client, text) {
  try {
    await client.messages.create(ask(text));
  } catch (error) {
    return [error.constructor.name, error.status];
  }
}

const seen = {};
for (const [name, client] of Object.entries(clients)) {
  const plain = await client.messages.create(ask(PROMPT));
  const deltas = [];
  const final = await client.messages.stream(ask(PROMPT)).on("text", (text) => deltas.push(text)).finalMessage();
  const question = ask('@tool weather {"days":3,"city":"Ulm"}', { tools });
  const first = await client.messages.stream(question).finalMessage();
  const call = first.content.find((block) => block.type === "tool_use");
  question.messages.push({ role: "assistant", content: first.content });
  question.messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "sunny" }] });
  const last = await client.messages.create(question);
  seen[name] = {
    plain: plain.content[0].text,
    streamed: [deltas.join(""), final.stop_reason],
    input: JSON.stringify(call.input),
    answer: last.content[0].text,
    throttled: await refusal(client, "@error ThrottlingException slow down"),
  };
}
const stranger = new AnthropicBedrock({ awsAccessKey: "AKIAIOSFODNN7EXAMPLE", awsSecretKey: "x", ...common });
seen.stranger = await refusal(stranger, PROMPT);
console.log(JSON.stringify(seen));
