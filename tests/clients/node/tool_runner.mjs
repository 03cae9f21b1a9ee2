// The tool runner of `@anthropic-ai/sdk` against a gateway: prints what it saw as one JSON object, for the suite to judge.
// Environment: ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY, as the package itself reads them; MODELS, separated by commas.
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { z } from "zod";

const client = new Anthropic({ maxRetries: 0, timeout: 60_000 });
const content = '@say Let me look.\n@tool get_weather {"city":"Paris"}\n@tool get_weather {"city":"Ulm"}';
const seen = {};
for (const model of process.env.MODELS.split(",")) {
  seen[model] = {};
  for (const stream of [false, true]) {
    const asked = [];
    const weather = betaZodTool({
      name: "get_weather",
      description: "Weather of a city.",
      inputSchema: z.object({ city: z.string() }),
      run: ({ city }) => {
        asked.push(city);
        return `sunny in ${city}`;
      },
    });
    const messages = [{ role: "user", content }];
    const last = await client.beta.messages.toolRunner({ model, max_tokens: 500, stream, tools: [weather], messages }).runUntilDone();
    seen[model][stream ? "streamed" : "plain"] = { asked, answer: last.content.at(-1).text };
  }
}
console.log(JSON.stringify(seen));
