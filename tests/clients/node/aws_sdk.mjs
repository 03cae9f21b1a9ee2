// AWS SDK for JavaScript against a gateway: prints what it saw as one JSON object, for the suite to judge.
// Environment, as the SDK itself reads it: AWS_ENDPOINT_URL_BEDROCK_RUNTIME, AWS_REGION, AWS_BEARER_TOKEN_BEDROCK;
// MODEL, PROMPT.
import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} from "@aws-sdk/client-bedrock-runtime";

const client = new BedrockRuntimeClient({ maxAttempts: 1 });
const modelId = process.env.MODEL;
const prompt = process.env.PROMPT;
const turn = (text) => [{ role: "user", content: [{ text }] }];
const body = JSON.stringify({
  anthropic_version: "bedrock-2023-05-31",
  max_tokens: 200,
  messages: [{ role: "user", content: prompt }],
});

async function streamed(text) {
  const seen = { text: "", stop: null, usage: null };
  const reply = await client.send(new ConverseStreamCommand({ modelId, messages: turn(text) }));
  for await (const event of reply.stream) {
    seen.text += event.contentBlockDelta?.delta?.text ?? "";
    seen.stop = event.messageStop?.stopReason ?? seen.stop;
    seen.usage = event.metadata?.usage ?? seen.usage;
  }
  return seen;
}

async function failure(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return { name: error.name, message: error.message, status: error.$metadata?.httpStatusCode ?? null };
  }
}

const plain = await client.send(new ConverseCommand({ modelId, messages: turn(prompt) }));
const invoked = await client.send(new InvokeModelCommand({ modelId, body, contentType: "application/json" }));
const chunks = await client.send(new InvokeModelWithResponseStreamCommand({ modelId, body, contentType: "application/json" }));
let invokedStream = "";
for await (const event of chunks.body) {
  const chunk = JSON.parse(new TextDecoder().decode(event.chunk.bytes));
  invokedStream += chunk.type === "content_block_delta" ? chunk.delta.text : "";
}
const errors = {
  throttled: await failure(() => client.send(new ConverseCommand({ modelId, messages: turn("@error ThrottlingException slow down") }))),
  invalid: await failure(() => client.send(new ConverseCommand({ modelId, messages: [] }))),
  middle: await failure(() => streamed("words and words\n@midstream-exception ThrottlingException 2 slow down")),
};
console.log(
  JSON.stringify({
    plain: plain.output.message.content[0].text,
    streamed: await streamed(prompt),
    invoked: JSON.parse(new TextDecoder().decode(invoked.body)).content[0].text,
    invokedStream,
    errors,
  }),
);
process.exit(0);
