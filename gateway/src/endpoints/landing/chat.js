
// The chat of the landing page. All texts are inserted as text nodes, never as markup.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const [key, model, text, log, send, stop] = ["key", "model", "text", "log", "send", "stop"].map((id) => byId(`chat-${id}`));
  let messages = [];
  let running = null;

  function headers() {
    const found = { "content-type": "application/json" };
    const value = key.value.trim();
    if (value !== "") found.authorization = `Bearer ${value}`;
    return found;
  }

  function show(who, kind, content) {
    const node = document.createElement("p");
    const name = document.createElement("b");
    const body = document.createElement("span");
    name.textContent = who;
    body.textContent = content;
    node.className = kind;
    node.append(name, body);
    log.append(node);
    log.scrollTop = log.scrollHeight;
    return body;
  }

  async function problem(response) {
    const body = await response.json().catch(() => ({}));
    const id = response.headers.get("x-request-id");
    return new Error(`${body.error?.message ?? `The gateway responds with status ${response.status}.`} (request ${id})`);
  }

  // The models that the key can use.
  async function list() {
    const response = await fetch("/v1/models", { headers: headers() }).catch(() => null);
    if (response === null || !response.ok) return;
    const { data } = await response.json();
    const options = data.map((one) => {
      const option = document.createElement("option");
      option.value = one.id;
      return option;
    });
    byId("chat-models").replaceChildren(...options);
    if (model.value === "" && data.length > 0) model.value = data[0].id;
  }

  // The events of a stream. An event ends with an empty line; other lines than data are comments and keep-alives.
  async function* events(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const parts = (rest + read.value).split("\n\n");
      rest = parts.pop();
      for (const line of parts.flatMap((part) => part.split("\n"))) {
        if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
      }
    }
  }

  async function respond(signal) {
    const body = JSON.stringify({ model: model.value.trim(), messages, stream: true });
    const response = await fetch("/v1/chat/completions", { method: "POST", headers: headers(), body, signal });
    if (!response.ok) throw await problem(response);
    const shown = show("Model", "assistant", "");
    let content = "";
    try {
      for await (const event of events(response.body)) {
        if (event.error) throw new Error(event.error.message);
        content += event.choices?.[0]?.delta?.content ?? "";
        shown.textContent = content;
        log.scrollTop = log.scrollHeight;
      }
    } finally {
      if (content === "") shown.parentNode.remove();
      else messages.push({ role: "assistant", content });
    }
  }

  async function submit(event) {
    event.preventDefault();
    if (running !== null) return;
    running = new AbortController();
    messages.push({ role: "user", content: text.value });
    const asked = messages.length;
    show("You", "user", text.value);
    send.disabled = true;
    stop.disabled = false;
    // A screen reader presents the response once, when it is complete.
    log.setAttribute("aria-busy", "true");
    try {
      await respond(running.signal);
      text.value = "";
    } catch (error) {
      const stopped = error.name === "AbortError";
      show("Error", "failed", stopped ? "Stopped." : error.message);
    }
    // A message without a response is not part of the conversation.
    if (messages.length === asked) messages.pop();
    log.setAttribute("aria-busy", "false");
    running = null;
    send.disabled = false;
    stop.disabled = true;
    text.focus();
    if (byId("chat-models").childElementCount === 0) await list();
  }

  byId("chat").addEventListener("submit", submit);
  key.addEventListener("change", list);
  stop.addEventListener("click", () => running?.abort());
  byId("chat-new").addEventListener("click", () => {
    running?.abort();
    messages = [];
    log.replaceChildren();
    text.focus();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("chat").requestSubmit();
  });
})();
