// The first sentence and the score table with its picture.
function drawLede() {
  const unit = unitOf(state.measure);
  const models = ranked(scored()).filter((model) => known(headlineOf(model)));
  const best = models[0];
  if (!best) return void ($("lede").textContent = "");
  const write = formatter(models.map((model) => headlineOf(model)));
  const name = MEASURES[state.measure];
  const figure = (model) => {
    const sd = figures(model)[`${data.headline}Sd`]?.[state.measure];
    return valued(`${write(headlineOf(model))}${known(sd) ? ` \u00b1 ${write(sd)}` : ""}`, unit);
  };
  const other = models.find((model) => model.kind !== best.kind);
  const scope = data.targets.length > 1 ? ` for ${state.target}` : "";
  let text = `${best.name} has the lowest ${headlineLabel} ${name}${scope}: ${figure(best)}.`;
  if (best.kind !== "trained") {
    text += other
      ? ` It is a baseline, and no trained model is below it; the nearest, ${other.name}, has ${figure(other)}.`
      : " It is a baseline; no trained model was scored.";
  } else if (other) {
    const less = 100 * (1 - headlineOf(best) / headlineOf(other));
    text += ` The best baseline, ${other.name}, has ${figure(other)}: the model's error is ${less.toFixed(1)}% lower.`;
  }
  $("lede").textContent = text;
}

function scoreColumns() {
  const cell = (part, read) => (model) => [read(figures(model)?.[part]), read(figures(model)?.[`${part}Sd`])];
  const columns = data.shown.map((step) => ({
    head: `step ${step}`, more: every ? duration(step * every) : "", get: cell("steps", (part) => part?.[state.measure][step - 1] ?? null),
  }));
  for (const part of ["mean", "pooled"]) {
    columns.push({ head: data.labels[part], more: part === "mean" ? "of the steps" : "all cells", part, get: cell(part, (found) => found?.[state.measure] ?? null) });
  }
  return columns;
}

function drawScores() {
  const columns = scoreColumns();
  const models = [...ranked(scored()), ...data.models.filter((model) => !figures(model))];
  const rows = models.map((model) => columns.map((column) => column.get(model)));
  const write = formatter(rows.flat().map(([mean]) => mean));
  const best = columns.map((_, place) => {
    const values = rows.map((row) => row[place][0]).filter(known);
    return values.length ? write(Math.min(...values)) : null;
  });
  const headline = columns.findIndex((column) => column.part === data.headline);
  const range = niceRange(rows.flatMap((row) => {
    const [mean, sd] = row[headline];
    return known(mean) ? [0, mean + (sd ?? 0)] : [];
  }), 3);
  const head = columns.map((column) => `<span class="cell" role="columnheader">${esc(column.head)}<small>${esc(column.more)}</small></span>`).join("");
  const lines = models.map((model, place) => {
    const facts = [
      model.kind === "trained" ? "trained" : "baseline",
      model.seeds > 1 ? `${model.seeds} seeds` : null,
      model.parameters ? `${grouped(model.parameters)} parameters` : null,
      known(model.train_seconds) ? `${duration(Math.max(1, Math.round(model.train_seconds)))}` : null,
    ].filter(Boolean).map((fact) => `<span class="fact">${esc(fact)}</span>`).join(" \u00b7 ");
    const title = `<span class="name" role="rowheader">${swatch(model.look)}<span>${breakable(model.name)}</span><small>${facts}${figures(model) && model.note ? ` \u00b7 ${esc(model.note)}` : ""}</small></span>`;
    if (!figures(model)) return `<div class="line" role="row" data-model="${esc(model.name)}">${title}<span class="note" role="cell">${esc(model.note || "not scored by this rule")}</span></div>`;
    const cells = rows[place].map(([mean, sd], column) => {
      const text = write(mean);
      const isBest = known(mean) && text === best[column];
      return `<span class="cell${isBest ? " best" : ""}" role="cell">${text}<small>${known(sd) ? `\u00b1 ${write(sd)}` : ""}</small></span>`;
    }).join("");
    return `<div class="line" role="row" data-model="${esc(model.name)}">${title}${cells}<span class="dots" role="cell" data-mean="${rows[place][headline][0] ?? ""}" data-sd="${rows[place][headline][1] ?? ""}" data-place="${place}"></span></div>`;
  }).join("");
  const unit = unitOf(state.measure);
  $("score-table").innerHTML = `<div class="scores" role="table" aria-label="${MEASURES[state.measure]}" style="--columns:${columns.length}">
    <div class="line head" role="row"><span class="name" role="columnheader">Model</span>${head}<span class="dots" role="columnheader">${esc(withUnit(`${headlineLabel} ${MEASURES[state.measure]}`, unit))}</span></div>${lines}</div>`;
  $("score-table").querySelectorAll(".dots[data-place]").forEach((host) => {
    const mean = parseFloat(host.dataset.mean);
    if (!known(mean)) return;
    const width = printing ? 130 : Math.max(host.clientWidth, 60);
    const sd = parseFloat(host.dataset.sd) || 0;
    const px = (value) => 8 + ((value - range.low) / (range.high - range.low)) * (width - 16);
    const whisker = sd ? `<path d="M${px(mean - sd).toFixed(1)} 11H${px(mean + sd).toFixed(1)}M${px(mean - sd).toFixed(1)} 6v10M${px(mean + sd).toFixed(1)} 6v10" stroke="var(--ink)" stroke-width="1.2"/>` : "";
    const look = models[Number(host.dataset.place)].look;
    host.innerHTML = `<svg viewBox="0 0 ${width} 22" preserveAspectRatio="none" aria-hidden="true"><path d="M8 11H${width - 8}" stroke="var(--faint)"/><path d="M8 11H${px(mean).toFixed(1)}" stroke="${look.color}" stroke-width="1.6" opacity=".55"/>${marker(look, px(mean), 11, 4.2)}${whisker}</svg>`;
  });
  $("scores-caption").textContent = `${withUnit(MEASURES[state.measure], unit)}${data.targets.length > 1 ? ` \u00b7 ${state.target}` : ""} \u00b7 test split \u00b7 scored cells: ${state.rule} \u00b7 lower is better`;
  const spread = data.models.some((model) => model.seeds > 1);
  $("scores-footnote").textContent = `The best value of a column is bold, which is no claim that the difference is significant.${spread ? " \u00b1 is the sample standard deviation over seeds." : ""} The picture starts at zero.`;
}
