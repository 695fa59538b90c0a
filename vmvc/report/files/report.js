// The report of a run: a chooser of quantities, and trials with their events and logs.
(() => {
  const { data, byId, make, draw, close } = page;
  const quantities = new Map(data.quantities.map((one, index) => [one.key, { ...one, index }]));
  const listed = new Map(data.trials.map((one) => [one.key, one]));

  // Spreads evenly without chance.
  const jitter = (number) => Math.round((((number * 0.618033988749895) % 1) * 2 - 1) * 1000) / 1000;

  // Marks that stand for too many values to draw each one.
  const marked = (marks) =>
    marks.map(([c, v, text, t, warm], number) => ({
      c: data.conditions[c].label, b: data.conditions[c].backend, v, text, j: jitter(number),
      ...(t === undefined ? {} : { t, warm: warm ? "warm-up" : "measured" }),
    }));

  const rowsOf = (quantity, warm) => {
    const rows = [];
    for (const trial of data.trials) {
      if (trial.kind === "failed" || (!warm && trial.kind !== "measured")) continue;
      const found = trial.values.find((one) => one[0] === quantity.index);
      if (!found) continue;
      const condition = data.conditions[trial.c];
      rows.push({
        c: condition.label, b: condition.backend, v: found[1] / quantity.divisor, text: found[2], t: trial.t,
        warm: trial.kind, j: jitter(rows.length),
      });
    }
    return rows;
  };

  const stepsOf = (points) => {
    const steps = [];
    for (const { label } of data.conditions) {
      const own = points.filter((one) => one.c === label).sort((a, b) => a.v - b.v);
      own.forEach((one, index) => {
        const p = (index + 1) / own.length;
        steps.push({ ...one, p, share: `${Math.round(p * 100)}%` });
      });
    }
    return steps;
  };

  const show = (key) => {
    const quantity = quantities.get(key);
    if (!quantity) return;
    const given = data.aggregates && data.aggregates[key];
    const points = given ? marked(given.points) : rowsOf(quantity, false);
    const kind = quantity.log ? "log" : "linear";
    const medians = quantity.medians;
    const words = quantity.missing.map((one) => `${one.c}: ${one.text}`).join("; ");
    const sets = { points, medians, missing: quantity.missing };
    for (const id of ["chart-points", "chart-ecdf", "chart-order"]) byId(id).setAttribute("aria-label", quantity.alt);
    draw("chart-points", data.charts.points[kind], sets, quantity.title, words);
    draw("chart-ecdf", data.charts.ecdf[kind], { steps: stepsOf(points) }, quantity.title, words);
    draw("chart-order", data.charts.order[kind], { points: given ? marked(given.order) : rowsOf(quantity, true) }, quantity.title, words);
    byId("says").textContent = quantity.says;
    numbers(quantity);
    drift(quantity);
    for (const select of document.querySelectorAll("select.quantity")) select.value = key;
  };

  const numbers = (quantity) => {
    const table = byId("numbers-of-quantity");
    table.replaceChildren();
    const head = table.createTHead().insertRow();
    for (const title of ["condition", "n", "median", "interval", "quartiles", "extremes"])
      head.append(make("th", title, { scope: "col" }));
    const body = table.createTBody();
    for (const row of byId("table-numbers").tBodies[0].rows) {
      if (row.cells[1].textContent !== quantity.key) continue;
      const line = body.insertRow();
      for (const index of [0, 6, 2, 3, 4, 5]) line.append(make("td", row.cells[index].textContent));
    }
  };

  const drift = (quantity) => {
    const table = byId("table-drift");
    table.replaceChildren();
    const head = table.createTHead().insertRow();
    ["condition", "n", "tau", "p of tau", "lag-1", "notes"].forEach((title, index) =>
      head.append(make("th", title, { scope: "col", class: index > 0 && index < 5 ? "n" : "" })));
    const body = table.createTBody();
    for (const cells of quantity.drift) {
      const line = body.insertRow();
      cells.forEach((text, index) => line.append(make("td", text, { class: index === 5 ? "reason" : index ? "n" : "" })));
    }
  };

  for (const select of document.querySelectorAll("select.quantity"))
    select.addEventListener("change", () => show(select.value));
  if (data.first) show(data.first);

  // --- trials -----------------------------------------------------------------------------------------
  const list = (title, rows) => {
    const box = make("div");
    box.append(make("h3", title));
    const dl = make("dl");
    for (const [term, text] of rows) dl.append(make("dt", term), make("dd", text));
    box.append(dl);
    return rows.length ? box : null;
  };

  const detail = (trial, columns) => {
    const row = make("tr", null, { class: "detail", id: `detail-${trial.key}` });
    const cell = make("td", null, { colspan: columns });
    const box = make("div", null, { class: "detail-in" });
    const failed = trial.failure ? [["failed in", trial.failure], ["cure", trial.hint]].filter((one) => one[1]) : [];
    const parts = [
      list("Failure", failed),
      list("Events since the request", trial.events),
      list("Readings", trial.values.map((one) => [data.quantities[one[0]].key, one[2]])),
      list("Missing", trial.absent),
      list("Findings", trial.findings),
      list("The host meanwhile", trial.noise),
      list("About", [["instance", trial.instance], ["began", trial.wall], ["position", trial.place]]),
    ];
    box.append(...parts.filter(Boolean));
    const log = make("div", null, { class: "wide" });
    log.append(make("h3", "Console"));
    if (trial.note) log.append(make("p", trial.note, { class: "muted" }));
    if (trial.console) log.append(make("pre", trial.console, { class: "console", tabindex: "0" }));
    box.append(log);
    cell.append(box);
    row.append(cell);
    return row;
  };

  const open = (number, jump) => {
    const row = byId(`trial-${number}`);
    const trial = listed.get(number);
    if (!row || !trial) return;
    row.hidden = false;
    const button = row.querySelector("button");
    if (button.getAttribute("aria-expanded") === "false") {
      row.after(detail(trial, row.cells.length));
      row.classList.add("open");
      button.setAttribute("aria-expanded", "true");
    } else if (!jump) close(row);
    if (jump) {
      button.focus({ preventScroll: true });
      row.scrollIntoView({ block: "center" });
    }
  };

  byId("table-trials").addEventListener("click", (event) => {
    const button = event.target.closest("tbody button");
    if (button) open(button.textContent, false);
  });
  const follow = () => {
    const found = /^#trial-(\d+(?:-\d+)?)$/.exec(location.hash);
    if (found) open(found[1], true);
  };
  addEventListener("hashchange", follow);
  page.chosen = (datum) => {
    if (datum.t) open(String(datum.t), true);
  };
  page.finish(follow);
})();
