// The console's page. All texts of objects are inserted as text nodes, never as markup. The token stays in this closure.
"use strict";
(() => {
  const REFRESH_MILLISECONDS = 10_000;
  const STATES = { ok: ["✓", "OK"], warning: ["!", "Warning"], error: ["✗", "Problem"] };
  const SILENT = "The operator does not respond. This page shows the last data and tries again; check that kubectl port-forward is running.";

  let token = "";
  let turn = 0;
  let timer;
  let data = null;
  let rendered = "";

  const byId = (id) => document.getElementById(id);

  function element(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  function setText(node, text) {
    // An unchanged text is not announced again.
    if (node.textContent !== text) node.textContent = text;
  }

  function notice(text) {
    const node = byId("notice");
    setText(node, text);
    node.hidden = text === "";
  }

  function show(id) {
    for (const section of ["sign-in", "overview", "detail"]) byId(section).hidden = section !== id;
  }

  function state(value) {
    const [mark, text] = STATES[value] ?? STATES.error;
    return element("span", { class: value }, element("span", { "aria-hidden": "true" }, `${mark} `), text);
  }

  function duration(seconds) {
    const size = Math.abs(seconds);
    if (size < 120) return `${Math.round(size)} s`;
    if (size < 7_200) return `${Math.round(size / 60)} min`;
    if (size < 172_800) return `${Math.round(size / 3_600)} h`;
    return `${Math.round(size / 86_400)} d`;
  }

  function time(text) {
    const seconds = (Date.parse(text) - Date.now()) / 1_000;
    if (Number.isNaN(seconds)) return "";
    const relative = seconds > 0 ? `in ${duration(seconds)}` : `${duration(seconds)} ago`;
    return element("time", { datetime: text, title: text }, relative);
  }

  const hrefOf = (object) => `#/${encodeURIComponent(object.namespace)}/${encodeURIComponent(object.name)}`;

  // The namespace and the name in the URL; null for the overview.
  function parseRoute() {
    const match = /^#\/([^/]+)\/([^/]+)$/.exec(location.hash);
    if (match === null) return null;
    try {
      return match.slice(1, 3).map(decodeURIComponent);
    } catch {
      return null;
    }
  }

  let route = parseRoute();

  const number = (value) => Number(value).toLocaleString("en");

  function dollars(text) {
    const value = Number(text);
    const digits = value !== 0 && value < 1 ? 4 : 2;
    return `$${value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: digits })}`;
  }

  // The cost of a period. Tokens without a price are no part of it, and alone they have none.
  function cost(amounts) {
    if (!amounts) return "";
    const known = amounts.costUsd === null ? "" : dollars(amounts.costUsd);
    if (amounts.unpricedTokens === 0) return known;
    const plus = known === "" ? "" : "+ ";
    const rest = element("div", { class: "soft" }, `${plus}${number(amounts.unpricedTokens)} tokens without a price`);
    return element("div", {}, known, rest);
  }

  // Texts with commands between backticks.
  const withCommands = (text) => text.split("`").map((part, at) => (at % 2 === 1 ? element("code", {}, part) : part));

  // A column is [heading, class, cell of a row].
  function table(caption, columns, rows) {
    if (rows.length === 0) return element("p", { class: "soft" }, "None.");
    const head = columns.map(([heading, kind]) =>
      element("th", { scope: "col", role: "columnheader", class: kind }, heading));
    const body = rows.map((row) => element("tr", { role: "row" }, ...columns.map(([heading, kind, cell]) => {
      const content = cell(row) ?? "";
      return element("td", { role: "cell", class: kind, "data-label": heading }, content === "" ? "–" : content);
    })));
    // The roles keep the table a table where the style shows rows as blocks.
    return element("div", { class: "scroll" }, element("table", { role: "table", "aria-label": caption },
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)),
      element("tbody", { role: "rowgroup" }, ...body)));
  }

  // Replaces the content of a node; the focused link keeps the focus.
  function replace(node, ...children) {
    const focused = document.activeElement;
    const key = node.contains(focused) ? focused.getAttribute("href") : null;
    node.replaceChildren(...children);
    if (key !== null) {
      [...node.querySelectorAll("a")].find((link) => link.getAttribute("href") === key)?.focus();
    }
  }

  function sidecars(counts) {
    if (!counts) return "";
    const parts = [`${counts.ready}/${counts.total}`];
    if (counts.outdated > 0) parts.push(`${counts.outdated} outdated`);
    if (counts.missing > 0) parts.push(`${counts.missing} missing`);
    return parts.join(", ");
  }

  const OBJECT_COLUMNS = [
    ["State", "short", (object) => state(object.state)],
    ["Namespace", "", (object) => object.namespace],
    ["Name", "name", (object) => element("a", { href: hrefOf(object) }, object.name)],
    ["Gateways", "short", (object) => object.gateways],
    ["Sidecars", "short", (object) => sidecars(object.sidecars)],
    ["Models", "number", (object) => number(object.models)],
    ["Cost today", "amount", (object) => cost(object.usage?.today)],
    ["This month", "amount", (object) => cost(object.usage?.month)],
    ["Message", "long", (object) => {
      const text = `${object.suspended ? "Suspended. " : ""}${object.reason}: ${object.message}`;
      return element("div", { class: "brief", title: text }, ...withCommands(text));
    }],
  ];

  function renderOverview() {
    const wanted = byId("filter").value.trim().toLowerCase();
    const onlyProblems = byId("problems").checked;
    const matches = data.objects.filter((object) =>
      (!onlyProblems || object.state !== "ok")
      && `${object.namespace}/${object.name} ${object.reason} ${object.message}`.toLowerCase().includes(wanted));
    const problems = data.objects.filter((object) => object.state === "error").length;
    const warnings = data.objects.filter((object) => object.state === "warning").length;
    const left = data.total - data.objects.length;
    setText(byId("counts"), [
      data.total === 1 ? "1 endpoint" : `${number(data.total)} endpoints`,
      problems === 1 ? "1 with a problem" : `${number(problems)} with problems`,
      warnings === 1 ? "1 with a warning" : `${number(warnings)} with warnings`,
      ...(left > 0 ? [`the last ${number(left)} are not shown`] : []),
      ...(matches.length < data.objects.length ? [`${number(matches.length)} match the filter`] : []),
    ].join(", "));
    const sums = [["today", data.usage.today], ["this month", data.usage.month]].filter(([, amounts]) => amounts);
    setText(byId("sums"), sums.length === 0 ? "" : `Cost of all endpoints: ${sums.map(inWords).join(", ")}.`);
    let content;
    if (data.total > 0) {
      content = table("Endpoints", OBJECT_COLUMNS, matches);
    } else if (data.allNamespaces) {
      content = element("p", {}, "No BedrockAccess exists yet. The quick start of the guide creates one.");
    } else {
      content = element("p", {}, "No BedrockAccess that you can list exists. To see those of a namespace, you need permission to list bedrockaccesses.bedrockaccess.dev there, which the cluster's role view includes.");
    }
    replace(byId("objects"), content);
  }

  function inWords([when, amounts]) {
    const rest = `${number(amounts.unpricedTokens)} tokens without a price`;
    if (amounts.costUsd === null) return `${when} ${rest}`;
    return `${when} ${dollars(amounts.costUsd)}${amounts.unpricedTokens === 0 ? "" : ` (+ ${rest})`}`;
  }

  function facts(pairs) {
    const list = element("dl", {});
    for (const [term, value] of pairs) {
      if (value !== null && value !== undefined && value !== "") {
        list.append(element("dt", {}, term), element("dd", {}, value));
      }
    }
    return list;
  }

  const commas = (values) => values.join(", ");
  const limits = (values) => commas(values.map((text) => text.replace(/^\d+/, number)));

  function target(one) {
    const role = one.role === null ? "" : `, with ${one.role}`;
    return element("div", {}, `${one.modelId} in ${one.region}, priority ${one.priority}, weight ${one.weight}${role}`);
  }

  function conditionsOf(object) {
    return table("Conditions", [
      ["State", "short", (one) => state(one.state)],
      ["Condition", "", (one) => `${one.type}=${one.status}`],
      ["Reason", "", (one) => one.reason],
      ["Since", "short", (one) => time(one.since)],
      ["Message", "long", (one) => element("div", {}, ...withCommands(one.message))],
    ], object.conditions);
  }

  function podsOf(object) {
    const rest = (pod) => [pod.message, ...pod.failingRoles, ...pod.ejected.map((one) => `ejected: ${one}`)];
    return table("Gateways", [
      ["State", "short", (pod) => state(pod.ready ? "ok" : "error")],
      ["Pod", "", (pod) => pod.pod],
      ["Kind", "short", (pod) => pod.kind],
      ["Credentials expire", "short", (pod) => (pod.credentialsExpire ? time(pod.credentialsExpire) : "")],
      ["In flight", "number", (pod) => (pod.inFlight === null ? "" : number(pod.inFlight))],
      ["Started", "short", (pod) => (pod.started ? time(pod.started) : "")],
      ["Report", "long", (pod) => [pod.reason, ...rest(pod)].filter((text) => text !== "").join(": ")],
    ], object.pods);
  }

  function usageOf(object) {
    const usage = object.usage;
    const periods = usage === null ? [] : [["Today", usage.today], ["This month", usage.month]].filter(([, amounts]) => amounts);
    if (periods.length === 0) return [element("p", { class: "soft" }, "No requests this month.")];
    const unread = usage.unread === 0 ? "" : ` ${number(usage.unread)} running gateways could not be read: their latest requests are missing.`;
    return [
      element("p", { class: "soft" }, "Days and months are in UTC. Last change ", time(usage.updated), `.${unread}`),
      table("Usage", [
        ["Period", "", ([name, amounts]) => `${name}, ${amounts.date}`],
        ["Requests", "number", ([, amounts]) => number(amounts.requests)],
        ["Input tokens", "number", ([, amounts]) => number(amounts.inputTokens)],
        ["From cache", "number", ([, amounts]) => (amounts.cachedInputPercent === null ? "" : `${amounts.cachedInputPercent} %`)],
        ["Output tokens", "number", ([, amounts]) => number(amounts.outputTokens)],
        ["Cost", "amount", ([, amounts]) => cost(amounts)],
      ], periods),
    ];
  }

  function clientsOf(object) {
    return table("Usage by client", [
      ["Client", "", (one) => one.client],
      ["Requests", "number", (one) => number(one.requests)],
      ["Refused", "number", (one) => number(one.refused)],
      ["Input tokens", "number", (one) => number(one.inputTokens)],
      ["Output tokens", "number", (one) => number(one.outputTokens)],
      ["Cache reads", "number", (one) => number(one.cacheReadTokens)],
      ["Cache writes", "number", (one) => number(one.cacheWriteTokens)],
      ["Cost", "amount", (one) => cost({ ...one, costUsd: one.costUsd > 0 || one.unpricedTokens === 0 ? one.costUsd : null })],
    ], object.clientsSinceStart);
  }

  function findingsOf(object) {
    return table("Findings", [
      ["State", "short", (one) => state(one.state)],
      ["Problem", "long", (one) => element("div", {}, ...one.about.map((text) => element("div", {}, text)))],
      ["Fix", "long", (one) => element("div", { class: "fix" }, ...withCommands(one.fix))],
    ], object.findings);
  }

  function counted(object) {
    if (object.counted === 0) return "No gateway reports its usage.";
    const since = object.countedSince ? time(object.countedSince) : "";
    const all = object.pods.length + object.morePods;
    return element("span", {}, `Since each gateway started, the oldest `, since, `; ${object.counted} of ${all} gateways.`);
  }

  function renderDetail() {
    const object = data;
    setText(byId("detail-title"), `${object.namespace}/${object.name}`);
    const heading = (text) => element("h3", {}, text);
    const command = (verb) => element("li", {}, element("code", {}, `kubectl bedrock ${verb} ${object.name} -n ${object.namespace}`));
    replace(byId("detail-body"),
      element("p", {}, state(object.state), " ", ...withCommands(`${object.reason}: ${object.message}`)),
      facts([
        ["Endpoint", object.endpoint], ["Region", object.region], ["Identity", object.identity], ["Role", object.role],
        ["ServiceAccount", object.serviceAccount], ["Audience of tokens", object.audience],
        ["Gateways ready", object.gateways], ["Sidecars ready", sidecars(object.sidecars)],
        ["Suspended", object.suspended ? "yes" : ""], ["Created", object.created ? time(object.created) : ""],
        ["Limits", limits(object.limits)],
        ["Policies", object.policies.length > 0 ? commas(object.policies) : "none applies to this namespace"],
      ]),
      ...(object.findings.length > 0 ? [heading("Findings"), findingsOf(object)] : []),
      heading("Usage"), ...usageOf(object),
      heading("Conditions"), conditionsOf(object),
      heading("Gateways and credentials"), podsOf(object),
      ...(object.morePods > 0 ? [element("p", {}, `${number(object.morePods)} more pods are not read.`)] : []),
      heading("Usage by client"), element("p", { class: "soft" }, counted(object)), clientsOf(object),
      heading("Models"), table("Models", [
        ["Name", "", (model) => model.name],
        ["Targets", "long", (model) => (model.targets.length === 0 ? "allowed by id" : element("div", {}, ...model.targets.map(target)))],
      ], object.models),
      heading("Clients"), table("Clients", [
        ["Kind", "short", (client) => client.kind],
        ["Name", "", (client) => client.name],
        ["Models", "", (client) => (client.models.length === 0 ? "all" : commas(client.models))],
        ["Limits", "", (client) => limits(client.limits)],
      ], object.clients),
      heading("On the command line"), element("ul", {}, ...["status", "doctor", "logs"].map(command)));
  }

  function render() {
    const here = route;
    document.title = here === null ? "Bedrock Access" : `${here.join("/")} – Bedrock Access`;
    if (here === null) {
      show("overview");
      renderOverview();
    } else {
      show("detail");
      renderDetail();
    }
  }

  async function read(path) {
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(path, { headers, cache: "no-store", redirect: "error" });
    const body = await response.json().catch(() => ({}));
    if (!response.ok) {
      throw Object.assign(new Error(body.error ?? `The operator responds with status ${response.status}.`), { status: response.status });
    }
    return body;
  }

  function signOut(message) {
    token = "";
    turn += 1;
    clearTimeout(timer);
    data = null;
    rendered = "";
    for (const id of ["objects", "detail-body"]) byId(id).replaceChildren();
    for (const id of ["counts", "sums", "detail-title", "user", "version"]) setText(byId(id), "");
    byId("filter").value = "";
    byId("who").hidden = true;
    document.title = "Bedrock Access";
    show("sign-in");
    notice(message);
    byId("token").focus();
  }

  // Reads the data of the current route. `arrive`: moves the focus to the heading.
  async function refresh(arrive) {
    clearTimeout(timer);
    if (token === "") return;
    turn += 1;
    const mine = turn;
    const here = route;
    const path = here === null ? "api/overview" : `api/bedrockaccesses/${here.map(encodeURIComponent).join("/")}`;
    try {
      const found = await read(path);
      if (mine !== turn) return;
      notice("");
      setText(byId("user"), found.user);
      byId("who").hidden = false;
      if (found.version) setText(byId("version"), `Operator ${found.version}`);
      // A view without changes stays as it is, for the focus and for screen readers. Times in it are relative, so it is
      // rendered again once a minute.
      const text = `${path} ${Math.floor(Date.now() / 60_000)} ${JSON.stringify(found)}`;
      if (text !== rendered) {
        data = found;
        rendered = text;
        render();
      }
      if (arrive) byId(here === null ? "overview-title" : "detail-title").focus();
    } catch (error) {
      if (mine !== turn) return;
      if (error.status === 401) {
        signOut(error.message);
        return;
      }
      if (error.status === 404) {
        rendered = "";
        show("detail");
        setText(byId("detail-title"), here === null ? "Not found" : here.join("/"));
        byId("detail-body").replaceChildren();
      }
      notice(error.status === undefined ? SILENT : error.message);
    }
    if (!document.hidden) timer = setTimeout(refresh, REFRESH_MILLISECONDS, false);
  }

  byId("sign-in-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const input = byId("token");
    const value = input.value.trim();
    if (!/^[\x21-\x7e]+$/.test(value)) {
      notice("A token has no spaces and no characters outside ASCII. Paste it again.");
      input.focus();
      return;
    }
    input.value = "";
    token = value;
    refresh(true);
  });
  byId("sign-out").addEventListener("click", () => signOut(""));
  for (const id of ["filter", "problems"]) {
    byId(id).addEventListener("input", () => {
      if (data !== null && route === null) renderOverview();
    });
  }
  window.addEventListener("hashchange", () => {
    // The link to the content is not a route.
    if (location.hash === "#main") return;
    route = parseRoute();
    refresh(true);
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh(false);
  });
  byId("token").focus();
})();
