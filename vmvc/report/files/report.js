"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  byId("scripts-off").remove();
  const quantities = new Map(data.quantities.map((one, index) => [one.key, { ...one, index }]));
  const listed = new Map(data.trials.map((one) => [one.key, one]));

  // Text goes into the page as text, never as markup.
  const make = (name, text, attributes = {}) => {
    const element = document.createElement(name);
    if (text !== undefined && text !== null) element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  // --- theme ------------------------------------------------------------------------------------------
  const theme = byId("theme");
  const dark = () =>
    (document.documentElement.dataset.theme ||
      (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => {
    theme.textContent = dark() ? "Light" : "Dark";
    theme.setAttribute("aria-pressed", String(dark()));
    theme.setAttribute("aria-label", dark() ? "use light colours" : "use dark colours");
  };
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();

  // --- charts -----------------------------------------------------------------------------------------
  const pending = [];
  // The first data set decides: a chart without a row is words.
  const draw = (id, chart, sets, title = "", words = "no value") => {
    const place = byId(id);
    if (!place || !chart) return;
    if (!Object.values(sets)[0].length) {
      place.replaceChildren(make("p", words, { class: "muted" }));
      place.dataset.state = "drawn";
      return;
    }
    const spec = JSON.parse(JSON.stringify(chart).replaceAll(JSON.stringify(data.title), JSON.stringify(title)));
    spec.datasets = sets;
    spec.description = place.getAttribute("aria-label");
    place.dataset.state = "drawing";
    const done = vegaEmbed(place, spec, { renderer: "svg", actions: false, ast: true }).then((result) => {
      result.view.addEventListener("click", (event, item) => {
        if (item && item.datum && item.datum.t) open(String(item.datum.t), true);
      });
      place.dataset.state = "drawn";
    });
    pending.push(done);
  };

  const rowsOf = (quantity, warm) => {
    const rows = [];
    for (const trial of data.trials) {
      if (trial.kind === "failed" || (!warm && trial.kind !== "measured")) continue;
      const found = trial.values.find((one) => one[0] === quantity.index);
      if (!found) continue;
      const condition = data.conditions[trial.c];
      rows.push({
        c: condition.label, b: condition.backend, v: found[1] / quantity.divisor, text: found[2], t: trial.t,
        warm: trial.kind, j: Math.round((((rows.length * 0.618033988749895) % 1) * 2 - 1) * 1000) / 1000,
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
    const points = given ? given.points : rowsOf(quantity, false);
    const kind = quantity.log ? "log" : "linear";
    const medians = quantity.medians;
    const words = quantity.missing.map((one) => `${one.c}: ${one.text}`).join("; ");
    const marked = { points, medians, missing: quantity.missing };
    for (const id of ["chart-points", "chart-ecdf", "chart-order"]) byId(id).setAttribute("aria-label", quantity.alt);
    draw("chart-points", data.charts.points[kind], marked, quantity.title, words);
    draw("chart-ecdf", data.charts.ecdf[kind], { steps: stepsOf(points) }, quantity.title, words);
    draw("chart-order", data.charts.order[kind], { points: given ? given.order : rowsOf(quantity, true) }, quantity.title, words);
    byId("says").textContent = quantity.says;
    numbers(quantity);
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

  for (const select of document.querySelectorAll("select.quantity"))
    select.addEventListener("change", () => show(select.value));
  for (const one of data.fixed) draw(one.id, one.chart, one.sets, "");
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

  const close = (row) => {
    const below = row.nextElementSibling;
    if (below && below.classList.contains("detail")) below.remove();
    row.classList.remove("open");
    row.querySelector("button").setAttribute("aria-expanded", "false");
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

  // --- tables that sort and filter --------------------------------------------------------------------
  const key = (row, index) => {
    const cell = row.cells[index];
    const text = cell.dataset.v !== undefined ? cell.dataset.v : cell.textContent.trim();
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : text;
  };
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((cell, index) => {
      cell.querySelector("button").addEventListener("click", () => {
        const up = cell.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0];
        for (const row of body.querySelectorAll("tr.open")) close(row);
        const rows = [...body.rows].map((row) => [key(row, index), row]);
        rows.sort(([a], [b]) => (a === "" || b === "" || up ? compare(a, b) : compare(b, a)));
        body.append(...rows.map((one) => one[1]));
      });
    });
  }
  for (const input of document.querySelectorAll("input[data-filter]")) {
    const table = byId(input.dataset.filter);
    const status = input.parentElement.querySelector("[role=status]");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of table.tBodies[0].querySelectorAll("tr.open")) close(row);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      status.textContent = words.length ? `${shown} of ${table.tBodies[0].rows.length} rows` : "";
    });
  }
  addEventListener("beforeprint", () => window.dispatchEvent(new Event("resize")));
  Promise.all(pending).then(() => {
    document.documentElement.dataset.ready = "yes";
    follow();
  });
})();
