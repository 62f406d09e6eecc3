"use strict";
// What every part of the page uses: the data, the state, numbers in words, and how a model looks.
const root = document.documentElement;
window.addEventListener("error", (event) => {
  root.dataset.errors = `${root.dataset.errors || ""}${event.message} (line ${event.lineno})\n`;
});

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("payload").textContent);
const MEASURES = { mae: "MAE", rmse: "RMSE", mape: "MAPE", wape: "WAPE" };
const state = {
  target: data.targets[0],
  rule: data.rules[0],
  measure: "mae",
  hidden: new Set(), // models that the error charts leave out
  picked: null, // model of the sensor charts
  sensor: 0, // position in data.sample.nodes
  step: 0, // position in data.sample.steps
  span: 0, // position in the list of spans
  start: 0, // seconds, the left end of the series chart
  edges: false,
  drawn: new Set(), // models in the series chart
};

const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const esc = (text) => String(text).replace(/[&<>"']/g, (sign) => escapes[sign]);
// Long names may break after these signs; the zero-width element adds nothing to what is copied.
const breakable = (text) => esc(text).replace(/([_\-.\/])/g, "$1<wbr>");
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function decimals(largest) {
  return largest >= 1000 ? 1 : largest >= 10 ? 2 : largest >= 1 ? 3 : 4;
}
// Figures of one chart or column share their number of decimals, chosen by the largest of them.
function formatter(values) {
  const sizes = values.filter(known).map(Math.abs);
  const places = decimals(sizes.length ? Math.max(...sizes) : 10);
  return (value) => (known(value) ? value.toFixed(places).replace("-", "\u2212") : "\u2013");
}
function reading(value) {
  if (!known(value)) return "missing";
  const size = Math.abs(value);
  return value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3).replace("-", "\u2212");
}
const grouped = (value) => value.toLocaleString("en-US");

function duration(seconds) {
  const parts = [[86400, "day"], [3600, "h"], [60, "min"], [1, "s"]];
  for (const [size, name] of parts) {
    if (seconds >= size && (seconds % size === 0 || seconds >= 10 * size || size === 1)) {
      const count = Number((seconds / size).toFixed(seconds % size ? 1 : 0));
      return `${count} ${name}${name === "day" && count !== 1 ? "s" : ""}`;
    }
    if (seconds >= size) return `${Math.floor(seconds / size)} ${name} ${duration(Math.round(seconds % size))}`;
  }
  return `${Number(seconds.toPrecision(2))} s`;
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (number) => String(number).padStart(2, "0");
// Times are the sensors' own wall clock; reading them as UTC keeps the browser's time zone out of them.
const clock = (seconds) => {
  const date = new Date(seconds * 1000);
  const rest = seconds % 60 ? `:${two(date.getUTCSeconds())}` : "";
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}${rest}`;
};
const dayName = (seconds) => {
  const date = new Date(seconds * 1000);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
};
const longDay = (seconds) => {
  const date = new Date(seconds * 1000);
  return `${WEEKDAYS[date.getUTCDay()]} ${dayName(seconds)} ${date.getUTCFullYear()}`;
};
const isWeekend = (seconds) => [0, 6].includes(new Date(seconds * 1000).getUTCDay());

const unitOf = (measure) => (measure === "mape" || measure === "wape" ? "%" : data.units[state.target] || "");
const withUnit = (text, unit) => (unit ? `${text}, ${unit}` : text);
// 5.2 veh/h, but 5.2%
const valued = (text, unit) => (unit === "%" ? `${text}%` : unit ? `${text} ${unit}` : text);

// Every model has a colour, a dash and a marker: trained ones full, baselines open and grey.
const LOOKS = {
  trained: { dashes: ["", "8 3", "2 3", "9 3 2 3", "5 2 1 2 1 2", "14 3"], letter: "m", width: 2 },
  baseline: { dashes: ["2 3", "6 4", "10 3 2 3", "1 4", "12 5", "4 2 1 2"], letter: "b", width: 1.6 },
};
const MARKERS = ["circle", "square", "triangle", "diamond", "down", "cross"];
const counters = { trained: 0, baseline: 0 };
for (const model of data.models) {
  const kind = model.kind === "trained" ? "trained" : "baseline";
  const place = counters[kind]++;
  const look = LOOKS[kind];
  model.look = {
    color: `var(--${look.letter}${(place % 6) + 1})`,
    dash: look.dashes[place % 6],
    // The second round of six repeats colours and dashes with other markers.
    marker: MARKERS[(place + Math.floor(place / 6)) % 6],
    open: kind === "baseline",
    width: look.width,
  };
}
const modelByName = new Map(data.models.map((model) => [model.name, model]));
const figures = (model) => model.views[state.rule]?.[state.target] ?? null;
const scored = () => data.models.filter((model) => figures(model));
const headlineOf = (model, measure = state.measure) => figures(model)?.[data.headline][measure] ?? null;
const headlineLabel = data.labels[data.headline];
// Where the value is unknown (a diverged seed) the model goes last.
const ranked = (models, measure = state.measure) =>
  [...models].sort((a, b) => (headlineOf(a, measure) ?? Infinity) - (headlineOf(b, measure) ?? Infinity));

function marker(look, x, y, size = 3.6) {
  const at = (dx, dy) => `${(x + dx * size).toFixed(1)} ${(y + dy * size).toFixed(1)}`;
  const shape = {
    circle: "",
    square: `M${at(-0.9, -0.9)}L${at(0.9, -0.9)}L${at(0.9, 0.9)}L${at(-0.9, 0.9)}Z`,
    triangle: `M${at(0, -1.15)}L${at(1.1, 0.85)}L${at(-1.1, 0.85)}Z`,
    diamond: `M${at(0, -1.25)}L${at(1.25, 0)}L${at(0, 1.25)}L${at(-1.25, 0)}Z`,
    down: `M${at(0, 1.15)}L${at(1.1, -0.85)}L${at(-1.1, -0.85)}Z`,
    cross: `M${at(-0.9, -0.9)}L${at(0.9, 0.9)}M${at(-0.9, 0.9)}L${at(0.9, -0.9)}`,
  }[look.marker];
  const paint = `fill="${look.open ? "var(--page)" : look.color}" stroke="${look.color}" stroke-width="1.5"`;
  return shape
    ? `<path d="${shape}" ${paint}/>`
    : `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${size}" ${paint}/>`;
}
function swatch(look, withMarker = true) {
  const dash = look.dash ? ` stroke-dasharray="${look.dash}"` : "";
  return `<svg width="28" height="12" viewBox="0 0 28 12" aria-hidden="true"><path d="M0 6H28" stroke="${look.color}" stroke-width="${look.width}"${dash}/>${
    withMarker && look.marker ? marker(look, 14, 6) : ""
  }</svg>`;
}

// Controls: a row of buttons for a few choices, a list for many; nothing where there is nothing to choose.
function segments(host, what, choices, current, onPick) {
  host.innerHTML = `<span class="what">${esc(what)}</span><span class="segments" role="group" aria-label="${esc(what)}">${choices
    .map(([value, text]) => `<button type="button" data-value="${esc(value)}" aria-pressed="${value === current}">${esc(text)}</button>`)
    .join("")}</span>`;
  host.querySelectorAll("button").forEach((button, index) => {
    button.addEventListener("click", () => {
      host.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", other === button));
      onPick(choices[index][0]);
    });
  });
}
function list(host, what, choices, current, onPick, stepping = false) {
  const select = `<select aria-label="${esc(what)}">${choices
    .map(([value, text], index) => `<option value="${index}"${value === current ? " selected" : ""}>${esc(text)}</option>`)
    .join("")}</select>`;
  const back = `<button type="button" data-step="-1" aria-label="previous ${esc(what)}">\u2039</button>`;
  const on = `<button type="button" data-step="1" aria-label="next ${esc(what)}">\u203a</button>`;
  host.innerHTML = `<span class="what">${esc(what)}</span>${stepping ? `<span class="step-buttons">${back}${select}${on}</span>` : select}`;
  const box = host.querySelector("select");
  const ends = () => host.querySelectorAll("[data-step]").forEach((button) => {
    button.disabled = !choices[box.selectedIndex + Number(button.dataset.step)];
  });
  const pick = () => {
    ends();
    onPick(choices[box.selectedIndex][0]);
  };
  box.addEventListener("change", pick);
  host.querySelectorAll("[data-step]").forEach((button) => button.addEventListener("click", () => {
    box.selectedIndex += Number(button.dataset.step);
    pick();
  }));
  ends();
}
function choose(host, what, choices, current, onPick) {
  if (choices.length < 2) host.innerHTML = "";
  else if (choices.length <= 4 && choices.every(([, text]) => text.length <= 14)) segments(host, what, choices, current, onPick);
  else list(host, what, choices, current, onPick);
}
function chips(host, models, isOn, onToggle) {
  host.innerHTML = models
    .map((model) => `<button type="button" aria-pressed="${isOn(model)}">${swatch(model.look)}<span>${esc(model.name)}</span></button>`)
    .join("");
  host.querySelectorAll("button").forEach((button, index) => button.addEventListener("click", () => {
    onToggle(models[index]);
    button.setAttribute("aria-pressed", isOn(models[index]));
  }));
}
