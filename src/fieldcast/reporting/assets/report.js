// The page itself: theme, controls, and what is drawn again when something changes.
function drawAll() {
  drawLede();
  drawScores();
  drawErrors();
  drawSensors();
  drawSeries();
}

function fillControls() {
  const pick = (key) => (value) => {
    state[key] = value;
    drawAll();
  };
  choose($("target-control"), "Target", data.targets.map((target) => [target, target]), state.target, pick("target"));
  choose($("measure-control"), "Measure", Object.entries(MEASURES), state.measure, pick("measure"));
  choose($("rule-control"), "Scored cells", data.rules.map((rule) => [rule, rule]), state.rule, pick("rule"));
  chips($("error-models"), scored(), (model) => !state.hidden.has(model.name), (model) => {
    state.hidden[state.hidden.has(model.name) ? "delete" : "add"](model.name);
    drawErrors();
  });
  choose($("sensor-model-control"), "Model", scored().map((model) => [model.name, model.name]), state.picked, (name) => {
    state.picked = name;
    drawSensors();
  });
  $("edges")?.addEventListener("change", (event) => {
    state.edges = event.target.checked;
    drawSensors();
  });
  fillSeriesControls();
}

function startTheme() {
  const kinds = ["auto", "light", "dark"];
  const button = $("theme");
  let kind = "auto";
  try {
    kind = localStorage.getItem("fieldcast-theme") ?? "auto";
  } catch { /* a page opened from a file may keep nothing: the choice then lasts until it is closed */ }
  function apply() {
    if (kind === "auto") delete root.dataset.theme;
    else root.dataset.theme = kind;
    button.textContent = { auto: "\u25d0 colours: system", light: "\u25cb colours: light", dark: "\u25cf colours: dark" }[kind];
  }
  button.hidden = false;
  button.addEventListener("click", () => {
    kind = kinds[(kinds.indexOf(kind) + 1) % kinds.length];
    try {
      localStorage.setItem("fieldcast-theme", kind);
    } catch { /* as above */ }
    apply();
  });
  apply();
}

function startPrinting() {
  const details = [...document.querySelectorAll("details")];
  let wasOpen = [];
  window.addEventListener("beforeprint", () => {
    wasOpen = details.map((part) => part.open);
    details.forEach((part) => (part.open = true));
    printing = true;
    drawAll();
  });
  window.addEventListener("afterprint", () => {
    details.forEach((part, index) => (part.open = wasOpen[index]));
    printing = false;
    drawAll();
  });
}

function startResizing() {
  let width = document.body.clientWidth;
  let waiting = 0;
  window.addEventListener("resize", () => {
    if (printing || document.body.clientWidth === width) return; // a phone's bars come and go: only width counts
    width = document.body.clientWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 80);
  });
}

function start() {
  const order = ranked(scored());
  const inSample = order.filter((model) => sample.models.includes(model.name));
  const baseline = inSample.find((model) => model.kind !== "trained");
  state.picked = (order.find((model) => model.kind === "trained") ?? order[0])?.name ?? null;
  // Two models and a baseline are as many lines as the eye can tell apart on top of the measured one.
  for (const model of [...inSample.filter((one) => one.kind === "trained").slice(0, 2), baseline]) if (model) state.drawn.add(model.name);
  // The sensor of middling error is the fair one to begin with.
  const errors = figures(modelByName.get(state.picked)).node.mae;
  const error = (node) => errors[data.nodes.indexOf(node)];
  const known_ = sample.nodes.filter((node) => known(error(node))).sort((a, b) => error(a) - error(b));
  if (known_.length) state.sensor = sample.nodes.indexOf(known_[Math.floor((known_.length - 1) / 2)]);
  state.start = startOfDay(firstTime);
  if (document.body.clientWidth > 760 && SPANS[1] && SPANS[1][0] !== Infinity) state.span = 1;
  $("controls").hidden = false;
  $("all-figures").open = false;
  startTheme();
  fillControls();
  root.dataset.ready = "drawing"; // the charts measure their place, so their sections have to be shown first
  drawAll();
  startPrinting();
  startResizing();
  root.dataset.ready = "yes";
}
start();
