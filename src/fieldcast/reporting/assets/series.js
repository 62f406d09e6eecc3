// Forecasts against what was measured, for one sensor, some steps ahead, over some days.
const sample = data.sample;
const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer;
const unpacked = (block) => ({ numbers: new Uint16Array(bytes(block.numbers)), low: new Float32Array(bytes(block.low)), step: new Float32Array(bytes(block.step)) });
const truthBlock = unpacked(sample.truth);
const forecastBlock = unpacked(sample.forecast);
const TRUTH_LOOK = { color: "var(--ink)", dash: "", width: 2.6, marker: "" };

function seriesOf(block, row) {
  const length = sample.time.length;
  return Array.from(block.numbers.subarray(row * length, (row + 1) * length), (number) => (number === 65535 ? null : block.low[row] + block.step[row] * number));
}
const targetPlace = () => sample.targets.indexOf(state.target);
const truthSeries = () => seriesOf(truthBlock, targetPlace() * sample.nodes.length + state.sensor);
const forecastSeries = (model) => seriesOf(forecastBlock,
  ((targetPlace() * sample.models.length + model) * sample.steps.length + state.step) * sample.nodes.length + state.sensor);

// The usual distance between rows tells how long a step lasts; null where there is one row only.
const every = (() => {
  const away = sample.time.slice(1).map((time, index) => time - sample.time[index]).filter((step) => step > 0).sort((a, b) => a - b);
  return away.length ? away[Math.floor(away.length / 2)] : null;
})();
const startOfDay = (seconds) => Math.floor(seconds / 86400) * 86400;
const firstTime = Math.min(...sample.time);
const lastTime = Math.max(...sample.time);
const SPANS = (() => {
  const day = 86400;
  const wanted = every === null || every < day / 4 ? [[day, "1 day"], [3 * day, "3 days"], [7 * day, "1 week"]]
    : [[30 * day, "30 days"], [90 * day, "90 days"], [365 * day, "1 year"]];
  const whole = lastTime - startOfDay(firstTime) + 1;
  return [...wanted.filter(([length]) => length < whole), [Infinity, "all"]];
})();

function fillSensorControl() {
  list($("sensor-control"), "Sensor", sample.nodes.map((node, place) => [place, node]), state.sensor, (place) => {
    state.sensor = place;
    drawSeries();
    drawSensors();
  }, true);
}
function fillDateControl() {
  const host = $("date-control");
  if (SPANS[state.span][0] === Infinity) {
    host.innerHTML = "";
    return;
  }
  const days = [...new Set(sample.time.map(startOfDay))].sort((a, b) => a - b);
  if (!days.includes(state.start)) state.start = days.find((day) => day >= state.start) ?? days[days.length - 1];
  list(host, "From", days.map((day) => [day, longDay(day)]), state.start, (day) => {
    state.start = day;
    drawSeries();
  }, true);
}
function fillSeriesControls() {
  fillSensorControl();
  const steps = sample.steps.map((step, place) => [place, every ? `${step} (${duration(step * every)})` : `${step}`]);
  choose($("step-control"), "Steps ahead", steps, state.step, (place) => {
    state.step = place;
    drawSeries();
  });
  choose($("span-control"), "Show", SPANS.map(([, text], place) => [place, text]), state.span, (place) => {
    state.span = place;
    fillDateControl();
    drawSeries();
  });
  fillDateControl();
  chips($("series-models"), sample.models.map((name) => modelByName.get(name)), (model) => state.drawn.has(model.name), (model) => {
    state.drawn[state.drawn.has(model.name) ? "delete" : "add"](model.name);
    drawSeries();
  });
}

function timeTicks(from, to, width) {
  const steps = [60, 300, 900, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000];
  const step = steps.find((size) => (to - from) / size <= width / 76) ?? 31536000;
  const ticks = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    ticks.push({ at, text: at % 86400 === 0 ? dayName(at) : clock(at) });
  }
  return ticks;
}
// Stretches of time in which nothing was measured, each from half a step before to half a step after.
function missingStretches(xs, ys) {
  const half = (every ?? 1) / 2;
  const found = [];
  let open = null;
  xs.forEach((x, index) => {
    if (index && every && x - xs[index - 1] > 1.5 * every) {
      if (open === null) open = xs[index - 1] + half;
      found.push({ from: open, to: x - half, kind: "missing" });
      open = null;
    }
    if (ys[index] === null) open = open ?? x - half;
    else if (open !== null) {
      found.push({ from: open, to: x - half, kind: "missing" });
      open = null;
    }
  });
  if (open !== null) found.push({ from: open, to: xs[xs.length - 1] + half, kind: "missing" });
  return found;
}

function drawSeries() {
  const host = $("series-chart");
  if (targetPlace() < 0) {
    $("series-title").innerHTML = caption(state.target, "no sample was kept of this target");
    host.innerHTML = "";
    return;
  }
  const length = SPANS[state.span][0];
  const from = length === Infinity ? firstTime : state.start;
  const to = length === Infinity ? lastTime + 1 : from + length;
  const rows = sample.time.map((_, row) => row).filter((row) => sample.time[row] >= from && sample.time[row] < to);
  const xs = rows.map((row) => sample.time[row]);
  const last = xs.length ? xs[xs.length - 1] : to;
  const cut = (series) => rows.map((row) => series[row]);
  const truth = { name: "measured", look: TRUTH_LOOK, ys: cut(truthSeries()) };
  const few = rows.length <= 60;
  const lines = [truth, ...sample.models.map((name, place) => ({ name, place }))
    .filter(({ name }) => state.drawn.has(name))
    .map(({ name, place }) => ({ name, look: modelByName.get(name).look, ys: cut(forecastSeries(place)), markers: few }))];
  const unit = data.units[state.target] || "";
  const step = sample.steps[state.step];
  const ahead = `${step} step${step > 1 ? "s" : ""}${every ? ` (${duration(step * every)})` : ""} before`;
  const missing = truth.ys.filter((y) => y === null).length;
  $("series-title").innerHTML = caption(`${sample.nodes[state.sensor]}, ${longDay(from)}${startOfDay(last) > startOfDay(from) ? ` to ${longDay(last)}` : ""}`,
    `each forecast was made ${ahead}`);
  $("series-footnote").textContent = missing || (every && missingStretches(xs, truth.ys).length)
    ? `Hatched: nothing was measured${missing ? ` (${grouped(missing)} of ${grouped(rows.length)} times)` : ""}. Lines are not drawn across gaps.` : "Nothing is missing here.";
  lineChart(host, {
    xs, lines, height: 340, gap: every ? 1.5 * every : 0, yTitle: withUnit(state.target, unit), xTitle: "local time",
    empty: "Nothing was measured or forecast here: choose another sensor or day.",
    ticks: timeTicks(xs[0], last, widthOf(host) - 160), behind: missingStretches(xs, truth.ys),
    summary: `measured and forecast ${state.target} of ${sample.nodes[state.sensor]}`,
    readout: (index) => `<b>${longDay(xs[index])}, ${clock(xs[index])}</b>${readoutRows(lines, index, (line, at) => (line.ys[at] === null && line !== truth ? "no forecast" : valued(reading(line.ys[at]), known(line.ys[at]) ? unit : "")))}`,
  });
}
