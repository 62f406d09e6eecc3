// Appended to a copy of the report by the browser test: uses every chooser as a reader would and writes down what
// happened. The result goes to the page around the frame, because only that page can be read from outside.
(async () => {
  const found = { changes: {}, overlaps: [], overflow: [], notes: {} };
  const html = (id) => document.getElementById(id)?.innerHTML ?? "";

  function textBoxes() {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const boxes = [];
    while (walker.nextNode()) {
      const node = walker.currentNode;
      const parent = node.parentElement;
      if (!node.data.trim() || parent.closest("script, style, option, title, noscript, .readout")) continue;
      if (!parent.checkVisibility({ visibilityProperty: true })) continue; // closed details too
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const box of range.getClientRects()) {
        if (box.width > 0.5) boxes.push({ text: node.data.trim().slice(0, 40), box, parent });
      }
    }
    for (const select of document.querySelectorAll("select")) {
      if (select.checkVisibility()) boxes.push({ text: `select ${select.ariaLabel}`, box: select.getBoundingClientRect(), parent: select });
    }
    return boxes;
  }

  function inspect(when) {
    const page = document.documentElement;
    if (page.scrollWidth > page.clientWidth) found.overflow.push(`${when}: the page is ${page.scrollWidth} wide in ${page.clientWidth}`);
    const boxes = textBoxes();
    for (const { text, box, parent } of boxes) {
      const frame = parent.closest("svg")?.getBoundingClientRect();
      if (!parent.closest("table.all") && (box.right > page.clientWidth + 1 || box.left < -1)) found.overflow.push(`${when}: '${text}'`);
      if (frame && (box.right > frame.right + 1.5 || box.left < frame.left - 1.5 || box.bottom > frame.bottom + 1.5)) found.overflow.push(`${when}: '${text}' is cut off`);
    }
    boxes.sort((a, b) => a.box.top - b.box.top);
    boxes.forEach((one, index) => {
      for (let next = index + 1; next < boxes.length && boxes[next].box.top < one.box.bottom - 2; next++) {
        const two = boxes[next];
        const across = Math.min(one.box.right, two.box.right) - Math.max(one.box.left, two.box.left);
        const down = Math.min(one.box.bottom, two.box.bottom) - two.box.top;
        if (across > 1.5 && down > 3 && one.parent !== two.parent) found.overlaps.push(`${when}: '${one.text}' and '${two.text}'`);
      }
    });
  }

  function check(name, watched, act) {
    const before = watched.map(html);
    act();
    found.changes[name] = watched.every((id, index) => html(id) !== before[index]);
  }
  const press = (host, value) => [...document.querySelectorAll(`#${host} button`)].find((button) => button.dataset.value === String(value) || button.dataset.step === String(value));
  function choose(host, index) {
    const buttons = document.querySelectorAll(`#${host} .segments button`);
    if (buttons.length) return buttons[index].click();
    const select = document.querySelector(`#${host} select`);
    select.selectedIndex = index;
    select.dispatchEvent(new Event("change"));
  }
  const has = (host) => document.querySelector(`#${host}`)?.children.length > 0;

  try {
    inspect("at first");
    found.notes.title = document.querySelector("h1").textContent;
    found.notes.lede = document.getElementById("lede").textContent;
    found.notes.models = [...document.querySelectorAll(".line[data-model]")].map((line) => line.dataset.model);
    found.notes.figures = ["horizon", "hour", "day", "map", "strip", "series"].filter((name) => document.querySelector(`#${name}-chart svg`));
    found.notes.ticks = [...document.querySelectorAll("#series-chart text[text-anchor=end]")].map((text) => text.textContent);
    found.notes.lines = document.querySelectorAll("#horizon-chart [data-line]").length;
    for (const measure of ["rmse", "mape", "wape", "mae"]) {
      check(`measure ${measure}`, ["score-table", "horizon-chart", "lede"], () => press("measure-control", measure).click());
      inspect(`measure ${measure}`);
    }
    if (has("rule-control")) check("rule", ["score-table", "horizon-chart", "strip-chart"], () => choose("rule-control", 1));
    if (has("target-control")) {
      check("target", ["score-table", "horizon-chart", "strip-chart", "series-chart", "lede"], () => choose("target-control", 1));
      inspect("target");
    }
    if (has("error-models")) check("model off", ["horizon-chart"], () => document.querySelector("#error-models button").click());
    found.notes.linesLess = document.querySelectorAll("#horizon-chart [data-line]").length;
    if (has("sensor-model-control")) check("sensor model", ["strip-chart", "worst-table"], () => choose("sensor-model-control", 1));
    const edges = document.getElementById("edges");
    if (edges) {
      check("edges", ["map-chart"], () => edges.click());
      found.notes.edges = document.querySelectorAll("#map-chart .edge").length;
    }
    found.notes.discs = document.querySelectorAll("#map-chart circle").length;
    if (document.querySelectorAll("#sensor-control option").length > 1) {
      check("sensor", ["series-chart", "series-title"], () => choose("sensor-control", 0));
      check("next sensor", ["series-chart", "series-title"], () => press("sensor-control", 1).click());
      check("worst sensor", ["series-chart", "series-title", "strip-chart"], () => {
        const now = document.querySelector("#sensor-control option:checked").textContent;
        [...document.querySelectorAll("#worst-table button")].find((button) => button.textContent !== now).click();
      });
    }
    inspect("sensor");
    if (has("step-control")) check("step", ["series-chart", "series-title"], () => choose("step-control", 1));
    if (has("span-control")) {
      check("all days", ["series-chart"], () => [...document.querySelectorAll("#span-control button")].pop().click());
      found.notes.missing = document.querySelectorAll("#series-chart [data-missing]").length;
      inspect("all days");
      check("one day", ["series-chart"], () => choose("span-control", 0));
      check("next day", ["series-chart", "series-title"], () => press("date-control", 1).click());
      inspect("next day");
    }
    check("series model", ["series-chart"], () => document.querySelector("#series-models button").click());
    document.querySelectorAll("#series-models button[aria-pressed=false]").forEach((button) => button.click());
    inspect("all models");
    const theme = document.getElementById("theme");
    const ground = () => getComputedStyle(document.body).backgroundColor;
    const seen = new Set([ground()]);
    for (let turn = 0; turn < 3; turn++) {
      theme.click();
      seen.add(ground());
    }
    found.notes.grounds = seen.size;

    const svg = document.querySelector("#series-chart svg");
    svg.scrollIntoView({ block: "center", behavior: "instant" });
    const frame = svg.getBoundingClientRect();
    const at = { clientX: frame.left + frame.width * 0.4, clientY: frame.top + frame.height / 2, bubbles: true };
    svg.dispatchEvent(new PointerEvent("pointermove", at));
    const box = document.querySelector("#series-chart .readout");
    found.notes.readout = box && getComputedStyle(box).visibility === "visible" ? box.innerText : null;
    const before = box?.innerHTML;
    svg.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    found.changes["arrow key"] = box?.innerHTML !== before;
    scrollTo(0, 0);
    document.querySelectorAll("details").forEach((part) => (part.open = true));
    await new Promise((resolve) => setTimeout(resolve, 50));
    inspect("details open");
  } catch (error) {
    found.failed = `${error.message}\n${error.stack}`;
  }
  found.ready = document.documentElement.dataset.ready ?? null;
  found.errors = document.documentElement.dataset.errors ?? "";
  found.width = document.documentElement.clientWidth;
  found.overlaps = [...new Set(found.overlaps)].slice(0, 20);
  found.overflow = [...new Set(found.overflow)].slice(0, 20);
  parent.postMessage(JSON.stringify(found), "*");
})();
