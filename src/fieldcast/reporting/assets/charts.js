// Drawing: scales, axes, lines with labels at their ends, and the read-out that follows the pointer.
const PRINT_WIDTH = 680;
let printing = false;
const widthOf = (host, half) => (printing ? (half ? PRINT_WIDTH / 2 - 12 : PRINT_WIDTH) : Math.max(host.clientWidth, 240));

function niceStep(span, count) {
  const raw = span / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= raw * 0.999);
}
// A range for an axis: from zero where zero is near, otherwise close around the values.
function niceRange(values, count = 5) {
  const finite = values.filter(known);
  if (!finite.length) return { low: 0, high: 1, ticks: [0, 1] };
  let low = Math.min(...finite);
  let high = Math.max(...finite);
  if (low === high) {
    const around = Math.abs(low) * 0.1 || 1;
    low -= around;
    high += around;
  }
  if (low > 0 && low < 0.35 * high) low = 0;
  const step = niceStep(high - low, count);
  low = Math.floor(low / step + 1e-9) * step;
  high = Math.ceil(high / step - 1e-9) * step;
  const ticks = [];
  for (let index = 0; low + index * step <= high + step * 1e-6; index++) ticks.push(low + index * step);
  return { low, high, ticks, step };
}
function tickText(value, step) {
  // As many decimals as the step itself has: with fewer, ticks of 2.5 would be labelled 3, 5, 8.
  let places = 0;
  while (places < 9 && Math.abs(step * 10 ** places - Math.round(step * 10 ** places)) > 1e-6 * 10 ** places * step) places++;
  const text = Math.abs(value) >= 10000 && !places ? grouped(Number(value.toFixed(0))) : value.toFixed(places);
  return text.replace(/^-(0(\.0+)?)$/, "$1").replace("-", "\u2212");
}
const textWidth = (text, size = 12) => String(text).length * size * 0.6;

// Move labels apart so that none covers another, as little as possible, within the frame.
function spread(places, gap, low, high) {
  const order = places.map((y, index) => ({ y: clamp(y, low, high), index })).sort((a, b) => a.y - b.y);
  for (let round = 0; round < 60; round++) {
    let moved = false;
    for (let index = 1; index < order.length; index++) {
      const lack = gap - (order[index].y - order[index - 1].y);
      if (lack > 0.01) {
        order[index - 1].y -= lack / 2;
        order[index].y += lack / 2;
        moved = true;
      }
    }
    order.forEach((item) => (item.y = clamp(item.y, low, high)));
    if (!moved) break;
  }
  // Squeezed against an end, halves never settle: lay out from the top what is left.
  for (let index = 1; index < order.length; index++) order[index].y = Math.max(order[index].y, order[index - 1].y + gap);
  const over = order.length ? order[order.length - 1].y - high : 0;
  const result = [];
  order.forEach((item) => (result[item.index] = item.y - Math.max(over, 0)));
  return result;
}

// Which of evenly wanted ticks fit beside each other: drops every second until they do.
function thinned(ticks, room) {
  let kept = ticks;
  for (let every = 1; every <= ticks.length; every++) {
    kept = ticks.filter((_, index) => index % every === 0);
    const fits = kept.every((tick, index) => !index
      || tick.x - kept[index - 1].x > (textWidth(tick.text) + textWidth(kept[index - 1].text)) / 2 + 10);
    if (fits) break;
  }
  return kept.filter((tick) => tick.x > room.left - 1 && tick.x < room.right + 1);
}

let charts = 0;
/* Lines over a common x axis.
   spec: xs, lines [{name, look, ys, sds, markers, label}], ticks [{at, text}], xTitle, yTitle, format, readout(index),
   height, behind [{from, to, kind}], gap (largest distance in x that a line crosses), half, summary, pad */
function lineChart(host, spec) {
  const width = widthOf(host, spec.half);
  const identity = `c${++charts}`;
  const values = spec.lines.flatMap((line) => line.ys.flatMap((y, index) => {
    const sd = line.sds?.[index] ?? 0;
    return known(y) ? [y - sd, y + sd] : [];
  }));
  if (!values.length) {
    host.innerHTML = `<svg viewBox="0 0 ${width} 90" role="img" aria-label="${esc(spec.empty)}"><text class="empty" x="${width / 2}" y="48" text-anchor="middle">${esc(spec.empty)}</text></svg>`;
    return;
  }
  const labels = spec.lines.filter((line) => line.ys.some(known));
  const height = Math.max(spec.height, labels.length * 15 + 70);
  const range = niceRange(values, Math.round(height / 58));
  const names = labels.map((line) => line.name);
  const wide = Math.min(Math.max(...names.map((name) => textWidth(name))) + 22, width * 0.42);
  const texts = range.ticks.map((tick) => tickText(tick, range.step));
  const room = { top: 26, bottom: height - 40, left: Math.max(...texts.map((text) => textWidth(text))) + 10, right: width - wide };
  const first = spec.xs[0];
  const last = spec.xs[spec.xs.length - 1];
  const pad = spec.pad ?? 0;
  const px = (x) => (last + 2 * pad === first ? (room.left + room.right) / 2
    : room.left + ((x - first + pad) / (last - first + 2 * pad)) * (room.right - room.left));
  const py = (y) => room.bottom - ((y - range.low) / (range.high - range.low)) * (room.bottom - room.top);
  const out = [];
  out.push(`<defs><pattern id="${identity}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" d="M0 0V6"/></pattern></defs>`);
  for (const { from, to, kind } of spec.behind ?? []) {
    const left = clamp(px(from), room.left, room.right);
    const right = clamp(px(to), room.left, room.right);
    if (right <= left) continue;
    const fill = kind === "missing" ? ` fill="url(#${identity})" data-missing="1"` : ` class="weekend"`;
    out.push(`<rect x="${left.toFixed(1)}" y="${room.top}" width="${(right - left).toFixed(1)}" height="${room.bottom - room.top}"${fill}/>`);
  }
  range.ticks.forEach((tick, index) => {
    const y = py(tick).toFixed(1);
    out.push(`<path class="${index ? "grid" : "axis"}" d="M${room.left} ${y}H${room.right}"/>`);
    out.push(`<text x="${room.left - 7}" y="${Number(y) + 4}" text-anchor="end">${texts[index]}</text>`);
  });
  out.push(`<text x="0" y="12">${esc(spec.yTitle)}</text>`);
  for (const tick of thinned(spec.ticks.map((tick) => ({ ...tick, x: px(tick.at) })), room)) {
    const half = textWidth(tick.text) / 2;
    out.push(`<path class="axis" d="M${tick.x.toFixed(1)} ${room.bottom}v4"/>`);
    out.push(`<text x="${clamp(tick.x, half, width - half).toFixed(1)}" y="${room.bottom + 17}" text-anchor="middle">${esc(tick.text)}</text>`);
  }
  out.push(`<text x="${((room.left + room.right) / 2).toFixed(1)}" y="${height - 4}" text-anchor="middle">${esc(spec.xTitle)}</text>`);

  const ends = [];
  for (const line of labels) {
    const look = line.look;
    if (line.sds) {
      const up = [];
      const down = [];
      line.ys.forEach((y, index) => {
        if (!known(y) || !known(line.sds[index])) return;
        up.push(`${px(spec.xs[index]).toFixed(1)} ${py(y + line.sds[index]).toFixed(1)}`);
        down.unshift(`${px(spec.xs[index]).toFixed(1)} ${py(y - line.sds[index]).toFixed(1)}`);
      });
      if (up.length > 1) out.push(`<path d="M${up.join("L")}L${down.join("L")}Z" fill="${look.color}" opacity=".16"/>`);
    }
    let path = "";
    let pen = false;
    let end = null;
    const points = [];
    line.ys.forEach((y, index) => {
      const x = spec.xs[index];
      const back = index ? x - spec.xs[index - 1] : 0;
      if (!known(y)) return void (pen = false);
      if (pen && (back < 0 || (spec.gap && back > spec.gap))) pen = false;
      const ahead = spec.xs[index + 1];
      const alone = !pen && (!known(line.ys[index + 1]) || (spec.gap && ahead - x > spec.gap));
      path += `${pen ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`;
      pen = true;
      end = { x: px(x), y: py(y) };
      if (alone || line.markers) points.push(marker(alone && !line.markers ? { ...look, marker: "circle" } : look, end.x, end.y, line.markers ? 3.4 : 1.6));
    });
    const dash = look.dash ? ` stroke-dasharray="${look.dash}"` : "";
    out.push(`<path data-line="${esc(line.name)}" d="${path}" fill="none" stroke="${look.color}" stroke-width="${look.width}" stroke-linejoin="round"${dash}/>${points.join("")}`);
    ends.push(end);
  }
  const ys = spread(ends.map((end) => end.y), 15, room.top, room.bottom - 2);
  const fits = Math.floor((wide - 20) / 7.2);
  ends.forEach((end, index) => {
    const { name, look } = labels[index];
    const text = name.length > fits ? `${name.slice(0, Math.max(fits - 1, 3))}\u2026` : name;
    out.push(`<path class="leader" stroke="${look.color}" fill="none" d="M${(end.x + 5).toFixed(1)} ${end.y.toFixed(1)}L${room.right + 9} ${ys[index].toFixed(1)}h4"/>`);
    out.push(`<text class="label" x="${room.right + 17}" y="${(ys[index] + 4).toFixed(1)}" style="fill:${look.color}">${esc(text)}<title>${esc(name)}</title></text>`);
  });
  out.push(`<path class="cursor" d="M0 ${room.top}V${room.bottom}"/>`);
  host.innerHTML = `<svg viewBox="0 0 ${width} ${height}" role="img" tabindex="0" aria-label="${esc(spec.summary)}">${out.join("")}</svg><div class="readout" role="status"></div>`;
  const cursor = host.querySelector(".cursor");
  follow(host, width, spec.xs.map(px), null, (index) => {
    cursor.setAttribute("transform", `translate(${px(spec.xs[index]).toFixed(1)} 0)`);
    cursor.style.visibility = "visible";
    return { html: spec.readout(index), x: px(spec.xs[index]), y: room.top };
  }, () => (cursor.style.visibility = "hidden"));
}

// The rows of a read-out: swatch, name and value of every line at one place.
function readoutRows(lines, index, write) {
  return `<table>${lines
    .map((line) => `<tr><td>${swatch(line.look, Boolean(line.markers))}</td><td>${esc(line.name)}</td><td>${esc(write(line, index))}</td></tr>`)
    .join("")}</table>`;
}

// Show a read-out for the point nearest to the pointer; arrow keys move it too. ys null: only x counts.
function follow(host, width, xs, ys, show, hide, onClick) {
  const svg = host.querySelector("svg");
  const box = host.querySelector(".readout");
  let current = -1;
  function open(index) {
    current = index;
    const { html, x, y } = show(index);
    box.innerHTML = html;
    const scale = svg.clientWidth / width || 1;
    const left = x * scale + 14 + box.offsetWidth > svg.clientWidth ? x * scale - 14 - box.offsetWidth : x * scale + 14;
    box.style.left = `${clamp(left, 0, Math.max(svg.clientWidth - box.offsetWidth, 0))}px`;
    box.style.top = `${y * scale}px`;
    box.style.visibility = "visible";
  }
  function close() {
    current = -1;
    box.style.visibility = "hidden";
    hide();
  }
  function nearest(event) {
    const frame = svg.getBoundingClientRect();
    const x = ((event.clientX - frame.left) / frame.width) * width;
    const y = ((event.clientY - frame.top) / frame.width) * width;
    let best = -1;
    let distance = ys ? 24 ** 2 : Infinity;
    xs.forEach((value, index) => {
      const away = (value - x) ** 2 + (ys ? (ys[index] - y) ** 2 : 0);
      if (away < distance) [best, distance] = [index, away];
    });
    return best;
  }
  const move = (event) => {
    const index = nearest(event);
    if (index < 0) close();
    else if (index !== current) open(index);
  };
  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerdown", move);
  svg.addEventListener("pointerleave", close);
  svg.addEventListener("blur", close);
  if (onClick) svg.addEventListener("click", (event) => nearest(event) >= 0 && onClick(nearest(event)));
  svg.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") close();
    if (event.key === "Enter" && onClick && current >= 0) onClick(current);
    if (!by) return;
    event.preventDefault();
    open(clamp(current + by, 0, xs.length - 1));
  });
}
