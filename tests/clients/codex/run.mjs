// Codex, not interactive, with the gateway as its provider; prints the events it saw and what it left behind as JSON.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const directory = mkdtempSync(join(import.meta.dirname, "run-"));
const [home, work] = [join(directory, "home"), join(directory, "work")];
mkdirSync(home);
mkdirSync(work);
writeFileSync(
  join(home, "config.toml"),
  `model = "${process.env.MODEL}"
model_provider = "bedrock"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.bedrock]
name = "Bedrock"
base_url = "${process.env.OPENAI_BASE_URL}"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
`,
);
const codex = join(import.meta.dirname, "node_modules/.bin/codex");
const run = spawnSync(codex, ["exec", "--skip-git-repo-check", "--json", "-C", work, process.env.PROMPT], {
  env: { ...process.env, CODEX_HOME: home, HTTPS_PROXY: "http://127.0.0.1:9" },
  input: "",
  encoding: "utf8",
  timeout: 120_000,
});
const events = run.stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
const made = join(work, "made.txt");
console.log(
  JSON.stringify({
    status: run.status,
    stderr: run.stderr.slice(-2000),
    items: events.filter((event) => event.type === "item.completed").map((event) => event.item),
    last: events.at(-1),
    made: existsSync(made) ? readFileSync(made, "utf8") : null,
  }),
);
rmSync(directory, { recursive: true });
