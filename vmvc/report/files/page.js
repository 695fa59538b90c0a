"use strict";
// What every page has: text as text, a theme, charts, and tables that sort and filter.
const page = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  byId("scripts-off").remove();

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
        if (item && item.datum) page.chosen(item.datum);
      });
      place.dataset.state = "drawn";
    });
    pending.push(done);
  };

  const close = (row) => {
    const below = row.nextElementSibling;
    if (below && below.classList.contains("detail")) below.remove();
    row.classList.remove("open");
    row.querySelector("button").setAttribute("aria-expanded", "false");
  };

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

  // `chosen` is called with what a chart shows where somebody clicks; `finish` when all is drawn.
  const page = { data, byId, make, draw, close, chosen: () => {} };
  page.finish = (then = () => {}) => {
    for (const one of data.fixed) draw(one.id, one.chart, one.sets, one.title || "");
    Promise.all(pending).then(() => {
      document.documentElement.dataset.ready = "yes";
      then();
    });
  };
  return page;
})();
