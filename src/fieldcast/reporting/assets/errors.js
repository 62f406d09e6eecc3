// Error by step ahead, by hour of the day and by day.
const shownModels = () => scored().filter((model) => !state.hidden.has(model.name));
const caption = (title, more) => `${esc(title)}<small>${esc(more) || "&nbsp;"}</small>`;
const NONE = "No model is chosen, or none was scored here.";

function drawHorizon() {
  const unit = unitOf(state.measure);
  const name = MEASURES[state.measure];
  const xs = Array.from({ length: data.horizon }, (_, index) => index + 1);
  const lines = shownModels().map((model) => ({
    name: model.name, look: model.look, markers: data.horizon <= 24,
    ys: figures(model).steps[state.measure], sds: figures(model).stepsSd?.[state.measure] ?? null,
  }));
  const write = formatter(lines.flatMap((line) => line.ys));
  $("horizon-title").innerHTML = caption("Error by how far ahead", lines.some((line) => line.sds) ? "the band is \u00b1 one standard deviation over seeds" : "");
  lineChart($("horizon-chart"), {
    xs, lines, height: 300, half: !$("hour-figure").hidden, empty: NONE, yTitle: withUnit(name, unit),
    xTitle: every ? `steps ahead, ${duration(every)} each` : "steps ahead",
    ticks: xs.map((x) => ({ at: x, text: String(x) })),
    summary: `${name} of ${lines.length} models over ${data.horizon} steps ahead`,
    readout: (index) => `<b>${index + 1} step${index ? "s" : ""} ahead${every ? ` (${duration(every * (index + 1))})` : ""}</b>${readoutRows(sortedAt(lines, index), index, (line, at) => {
      const sd = line.sds?.[at];
      return valued(`${write(line.ys[at])}${known(sd) ? ` \u00b1 ${write(sd)}` : ""}`, unit);
    })}`,
  });
}
const sortedAt = (lines, index) => [...lines].sort((a, b) => (a.ys[index] ?? Infinity) - (b.ys[index] ?? Infinity));

function drawHour() {
  const unit = unitOf("mae");
  // Daily readings all stand at one hour: there is nothing to compare then.
  const inHours = (model) => (figures(model).hour?.count ?? []).filter((count) => count > 0).length > 1;
  $("hour-figure").hidden = !scored().some(inHours);
  $("horizon-hour").classList.toggle("single", $("hour-figure").hidden);
  if ($("hour-figure").hidden) return;
  const models = shownModels().filter(inHours);
  const lines = models.map((model) => ({ name: model.name, look: model.look, ys: figures(model).hour.mae }));
  const counts = models.length ? figures(models[0]).hour.count : [];
  const write = formatter(lines.flatMap((line) => line.ys));
  const hours = Array.from({ length: 24 }, (_, hour) => hour);
  $("hour-title").innerHTML = caption("Error by hour of the day", "all steps together, by the hour that was forecast");
  lineChart($("hour-chart"), {
    xs: hours, lines, height: 300, half: true, yTitle: withUnit("MAE", unit), xTitle: "hour of the day",
    empty: NONE,
    ticks: hours.filter((hour) => hour % 3 === 0).map((hour) => ({ at: hour, text: `${two(hour)}` })),
    summary: `MAE of ${lines.length} models by hour of the day`,
    readout: (hour) => `<b>${two(hour)}:00 to ${two(hour)}:59 \u00b7 ${grouped(counts[hour] ?? 0)} cells</b>${readoutRows(sortedAt(lines, hour), hour, (line, at) => valued(write(line.ys[at]), unit))}`,
  });
}

function drawDay() {
  const unit = unitOf("mae");
  const models = shownModels().filter((model) => figures(model).day?.day.length);
  $("day-figure").hidden = !scored().some((model) => figures(model).day?.day.length);
  if ($("day-figure").hidden) return;
  const days = models.length ? figures(models[0]).day.day.map((day) => Date.parse(`${day}T00:00:00Z`) / 1000) : [0];
  const lines = models.map((model) => ({ name: model.name, look: model.look, ys: figures(model).day.mae, markers: days.length <= 45 }));
  const counts = models.length ? figures(models[0]).day.count : [];
  const weekends = days.length > 1 && days.length < 120 ? days.filter(isWeekend) : [];
  const write = formatter(lines.flatMap((line) => line.ys));
  $("day-title").innerHTML = caption("Error by day of the test split", `all steps together${weekends.length ? "; weekends shaded" : ""}`);
  const spacing = days.length > 1 ? Math.min(...days.slice(1).map((day, index) => day - days[index])) : 86400;
  lineChart($("day-chart"), {
    xs: days, lines, height: 260, empty: NONE, yTitle: withUnit("MAE", unit), xTitle: "day", gap: spacing * 1.5, pad: spacing / 2,
    ticks: days.map((day) => ({ at: day, text: dayName(day) })),
    behind: weekends.map((day) => ({ from: day - 43200, to: day + 43200, kind: "weekend" })),
    summary: `MAE of ${lines.length} models on ${days.length} days`,
    readout: (index) => `<b>${longDay(days[index])} \u00b7 ${grouped(counts[index] ?? 0)} cells</b>${readoutRows(sortedAt(lines, index), index, (line, at) => valued(write(line.ys[at]), unit))}`,
  });
}

function drawErrors() {
  drawHour(); // first, because it may leave its place to the other
  drawHorizon();
  drawDay();
}
