// An index of runs: for each experiment a chooser of quantities, and its medians run after run.
(() => {
  const { data, byId, draw } = page;
  data.stories.forEach((story, place) => {
    const select = byId(`quantity-${place}`);
    if (!select) return;
    const show = () => {
      const quantity = story.quantities.find((one) => one.key === select.value);
      const rows = quantity.rows.map(([run, condition, v, low, high, text]) => ({
        ...story.runs[run], c: story.conditions[condition], v, text, ...(low === null ? {} : { low, high }),
      }));
      byId(`chart-history-${place}`).setAttribute("aria-label", quantity.alt);
      draw(`chart-history-${place}`, story.charts[quantity.log ? "log" : "linear"], { runs: rows }, quantity.title);
      byId(`says-${place}`).textContent = quantity.says;
    };
    select.addEventListener("change", show);
    show();
  });
  page.finish();
})();
