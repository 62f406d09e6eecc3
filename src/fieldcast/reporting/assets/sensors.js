// Error by sensor: sorted dots, the worst ten, and a map on plain coordinates.
const nodeMeasure = () => (state.measure === "rmse" ? "rmse" : "mae");
const sensorModel = () => {
  const model = modelByName.get(state.picked);
  return model && figures(model) ? model : ranked(scored())[0] ?? null;
};
const placeInSample = new Map(data.sample.nodes.map((node, place) => [node, place]));
function pickSensor(node) {
  if (!placeInSample.has(node)) return;
  state.sensor = placeInSample.get(node);
  fillSensorControl();
  drawSeries();
  drawSensors();
}

function drawSensors() {
  const model = sensorModel();
  if (!model) return;
  const measure = nodeMeasure();
  const unit = unitOf(measure);
  const errors = figures(model).node[measure];
  const counts = figures(model).node.count;
  const order = errors.map((_, node) => node).filter((node) => known(errors[node])).sort((a, b) => errors[a] - errors[b]);
  const context = { model, measure, unit, errors, counts, order, write: formatter(errors), what: withUnit(MEASURES[measure], unit) };
  drawStrip(context);
  drawWorst(context);
  if ($("map-chart")) drawMap(context);
}
const sensorText = ({ errors, counts, write, unit, measure, model }, node) =>
  `<b>${esc(data.nodes[node])}</b>${MEASURES[measure]} of ${esc(model.name)}: ${esc(valued(write(errors[node]), unit))}<br>${grouped(counts[node] ?? 0)} scored cells`;

function drawStrip(context) {
  const { model, errors, order, write, unit, what, measure } = context;
  const host = $("strip-chart");
  const lost = errors.length - order.length;
  $("strip-title").innerHTML = caption(`Error of every sensor, sorted: ${model.name}`, `all steps together${lost ? `; ${lost} sensor${lost > 1 ? "s" : ""} without a scored cell` : ""}`);
  const width = widthOf(host, !$("map-chart"));
  const height = 250;
  const range = niceRange(order.length ? [0, ...order.map((node) => errors[node])] : [], 4);
  const texts = range.ticks.map((tick) => tickText(tick, range.step ?? 1));
  const room = { left: Math.max(...texts.map((text) => textWidth(text))) + 10, right: width - 12, top: 26, bottom: height - 36 };
  const px = (rank) => (order.length > 1 ? room.left + 8 + (rank / (order.length - 1)) * (room.right - room.left - 16) : (room.left + room.right) / 2);
  const py = (value) => room.bottom - ((value - range.low) / (range.high - range.low)) * (room.bottom - room.top);
  const out = range.ticks.map((tick, index) => `<path class="${index ? "grid" : "axis"}" d="M${room.left} ${py(tick).toFixed(1)}H${room.right}"/><text x="${room.left - 7}" y="${(py(tick) + 4).toFixed(1)}" text-anchor="end">${texts[index]}</text>`);
  out.push(`<text x="0" y="12">${esc(what)}</text><text x="${(room.left + room.right) / 2}" y="${height - 6}" text-anchor="middle">${grouped(order.length)} sensors, lowest error first</text>`);
  const size = order.length > 400 ? 1.6 : order.length > 120 ? 2.4 : 3.4;
  order.forEach((node, rank) => out.push(`<circle cx="${px(rank).toFixed(1)}" cy="${py(errors[node]).toFixed(1)}" r="${size}" fill="${model.look.color}" fill-opacity=".75"/>`));
  const middle = order.length ? errors[order[Math.floor((order.length - 1) / 2)]] : null;
  if (known(middle)) out.push(`<path d="M${room.left} ${py(middle).toFixed(1)}H${room.right}" stroke="var(--ink)" stroke-dasharray="5 4"/><text class="strong" x="${room.left + 8}" y="${(py(middle) + (py(middle) - room.top < 24 ? 17 : -7)).toFixed(1)}">median ${esc(write(middle))}</text>`);
  const chosen = data.nodes.indexOf(data.sample.nodes[state.sensor]);
  const rank = order.indexOf(chosen);
  if (rank >= 0) out.push(`<circle class="picked" cx="${px(rank).toFixed(1)}" cy="${py(errors[chosen]).toFixed(1)}" r="6.5"/>`);
  host.innerHTML = `<svg viewBox="0 0 ${width} ${height}" role="img" tabindex="0" aria-label="${MEASURES[measure]} of ${order.length} sensors in ${esc(unit)}">${out.join("")}</svg><div class="readout" role="status"></div>`;
  follow(host, width, order.map((_, place) => px(place)), null,
    (place) => ({ html: sensorText(context, order[place]), x: px(place), y: room.top }), () => {}, (place) => pickSensor(data.nodes[order[place]]));
}

function drawWorst({ model, measure, errors, counts, order, write, unit }) {
  const baseline = ranked(scored(), measure).find((other) => other.kind !== "trained" && other !== model);
  $("worst-title").innerHTML = caption("The ten sensors with the largest error", `${withUnit(MEASURES[measure], unit)}${baseline ? `, beside ${baseline.name}` : ""}`);
  const rows = [...order].reverse().slice(0, 10).map((node) => {
    const name = data.nodes[node];
    const title = placeInSample.has(name) ? `<button type="button" data-node="${node}" title="show its forecasts">${breakable(name)}</button>` : breakable(name);
    const beside = baseline ? `<td>${write(figures(baseline).node[measure][node])}</td>` : "";
    return `<tr><td>${title}</td><td>${write(errors[node])}</td>${beside}<td>${grouped(counts[node] ?? 0)}</td></tr>`;
  }).join("");
  $("worst-table").innerHTML = `<table class="plain"><thead><tr><th scope="col">sensor</th><th scope="col">${breakable(model.name)}</th>${baseline ? `<th scope="col">${breakable(baseline.name)}</th>` : ""}<th scope="col">scored cells</th></tr></thead><tbody>${rows}</tbody></table>`;
  $("worst-table").querySelectorAll("button").forEach((button) => button.addEventListener("click", () => {
    pickSensor(data.nodes[Number(button.dataset.node)]);
    $("series").scrollIntoView({ behavior: "smooth" });
  }));
}

const CLASSES = 5;
const radius = (group) => 4 + group * 1.4;
function drawMap(context) {
  const { model, errors, order, what, write } = context;
  const host = $("map-chart");
  const width = widthOf(host, true);
  const places = data.coordinates.map((pair) => (pair && known(pair[0]) && known(pair[1]) ? pair : null));
  const placed = places.filter(Boolean);
  $("map-title").innerHTML = caption(`Where the error lies: ${model.name}`, `${what}; a larger and stronger disc is a larger error${placed.length < places.length ? `; ${places.length - placed.length} sensors have no coordinates` : ""}`);
  if (!placed.length) return void (host.innerHTML = "");
  const [south, north] = [Math.min(...placed.map(([lat]) => lat)), Math.max(...placed.map(([lat]) => lat))];
  const [west, east] = [Math.min(...placed.map(([, lon]) => lon)), Math.max(...placed.map(([, lon]) => lon))];
  const onEarth = south >= -90 && north <= 90 && west >= -180 && east <= 360;
  const squeeze = onEarth ? Math.max(Math.cos(((south + north) / 2) * (Math.PI / 180)), 0.05) : 1;
  const wide = Math.max((east - west) * squeeze, 1e-9);
  const high = Math.max(north - south, 1e-9);
  const margin = 18;
  const legend = 50;
  const inner = width - 2 * margin;
  const tall = clamp((inner * high) / wide, 150, Math.max(inner * 0.85, 240));
  const scale = Math.min(inner / wide, tall / high);
  const px = (lon) => width / 2 + (lon - (west + east) / 2) * squeeze * scale;
  const py = (lat) => margin + tall / 2 - (lat - (south + north) / 2) * scale;
  const frame = tall + 2 * margin;
  const out = [`<rect x=".5" y=".5" width="${width - 1}" height="${frame - 1}" rx="6" fill="none" class="axis"/>`];
  if (state.edges && data.graph) {
    const path = data.graph.filter(([a, b]) => places[a] && places[b])
      .map(([a, b]) => `M${px(places[a][1]).toFixed(1)} ${py(places[a][0]).toFixed(1)}L${px(places[b][1]).toFixed(1)} ${py(places[b][0]).toFixed(1)}`).join("");
    out.push(`<path class="edge" fill="none" d="${path}"/>`);
  }
  // Five classes of about equally many sensors, so that one extreme sensor does not wash out the others.
  const bounds = Array.from({ length: CLASSES + 1 }, (_, index) => errors[order[Math.round((index / CLASSES) * (order.length - 1))]]);
  const group = (value) => clamp(bounds.slice(1, CLASSES).filter((bound) => value > bound).length, 0, CLASSES - 1);
  const disc = (x, y, kind) => `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${radius(kind)}" fill="var(--e${kind + 1})" stroke="var(--page)" stroke-width="1"/>`;
  const drawn = places.map((pair, node) => node).filter((node) => places[node]);
  drawn.filter((node) => !known(errors[node])).forEach((node) => out.push(marker({ marker: "cross", color: "var(--soft)" }, px(places[node][1]), py(places[node][0]), 3)));
  order.filter((node) => places[node]).forEach((node) => out.push(disc(px(places[node][1]), py(places[node][0]), group(errors[node]))));
  const chosen = data.nodes.indexOf(data.sample.nodes[state.sensor]);
  if (places[chosen]) out.push(`<circle class="picked" cx="${px(places[chosen][1]).toFixed(1)}" cy="${py(places[chosen][0]).toFixed(1)}" r="11"/>`);
  if (onEarth && wide > 1e-6) {
    const perKm = scale / 111.195;
    const power = 10 ** Math.floor(Math.log10(width / 4 / perKm));
    const km = [5, 2, 1].map((factor) => factor * power).find((length) => length * perKm <= width / 4);
    const text = km >= 1 ? `${grouped(km)} km` : `${Math.round(km * 1000)} m`;
    out.push(`<path d="M12 ${frame - 14}v4h${(km * perKm).toFixed(1)}v-4" fill="none" stroke="var(--soft)"/><text x="${16 + km * perKm}" y="${frame - 8}">${text}</text>`);
  }
  if (order.length) {
    const cell = (width - 8) / CLASSES;
    for (let kind = 0; kind < CLASSES; kind++) {
      out.push(disc(4 + cell * (kind + 0.5), frame + 17, kind));
      out.push(`<text x="${(4 + cell * (kind + 0.5)).toFixed(1)}" y="${frame + 42}" text-anchor="middle">\u2264 ${esc(write(bounds[kind + 1]))}</text>`);
    }
  }
  host.innerHTML = `<svg viewBox="0 0 ${width} ${frame + legend}" role="img" tabindex="0" aria-label="map of ${placed.length} sensors by error">${out.join("")}</svg><div class="readout" role="status"></div>`;
  follow(host, width, drawn.map((node) => px(places[node][1])), drawn.map((node) => py(places[node][0])), (place) => ({
    html: sensorText(context, drawn[place]), x: px(places[drawn[place]][1]), y: clamp(py(places[drawn[place]][0]) - 20, 0, frame),
  }), () => {}, (place) => pickSensor(data.nodes[drawn[place]]));
}
