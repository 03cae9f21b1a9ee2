// `@anthropic-ai/sdk` against a gateway: prints what it saw as one JSON object, for the suite to judge.
// Environment: ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY, as the package itself reads them; MODELS, separated by commas.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ maxRetries: 0, timeout: 60_000 });
const tools = [
  {
    name: "weather",
    description: "Weather of a city.",
    input_schema: { type: "object", properties: { city: { type: "string" } } },
  },
];
const seen = {};
for (const model of process.env.MODELS.split(",")) {
  const text = "The quick brown fox – über 5 € 🦊";
  const asked = { model, max_tokens: 4000, messages: [{ role: "user", content: text }] };
  const plain = await client.messages.create(asked);
  const deltas = [];
  const stream = client.messages.stream(asked).on("text", (delta) => deltas.push(delta));
  const final = await stream.finalMessage();

  const thinking = model.includes("claude") ? { thinking: { type: "enabled", budget_tokens: 2000 } } : {};
  const script = model.includes("claude") ? "@reason weighing é\n" : "";
  const messages = [];
  for (let turn = 0; turn < 3; turn++) {
    const calls = turn ? messages.at(-1).content.filter((block) => block.type === "tool_use") : [];
    const content = calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: "sunny" }));
    content.push({ type: "text", text: `${script}@tool weather {"city":"${turn}"}` });
    messages.push({ role: "user", content });
    const message = await client.messages.stream({ ...asked, ...thinking, tools, messages }).finalMessage();
    messages.push({ role: "assistant", content: message.content });
  }
  let error;
  try {
    await client.messages.create({ ...asked, messages: [{ role: "user", content: "@error ThrottlingException slow" }] });
  } catch (thrown) {
    error = [thrown instanceof Anthropic.RateLimitError, thrown.status, thrown.error.error.type, Boolean(thrown.requestID)];
  }
  seen[model] = {
    plain: plain.content[0].text,
    streamed: deltas.join(""),
    final: final.content[0].text,
    usage: [plain.usage.output_tokens, final.usage.output_tokens],
    cities: messages.filter((one) => one.role === "assistant").map((one) => one.content.at(-1).input.city),
    error,
  };
}
console.log(JSON.stringify(seen));
