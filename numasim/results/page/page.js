"use strict";
// Draws the charts with plotly.js, in the page's own colours, and sorts tables. Everything shown was computed before.
(() => {
  const root = document.documentElement;
  const { charts, stacks } = JSON.parse(document.getElementById("data").textContent);
  const coarse = matchMedia("(pointer: coarse)");

  // A colour in a chart is the name of a property of page.css: "--ink".
  const coloured = (value, style, key = "") => {
    if (Array.isArray(value)) return value.map((one) => coloured(one, style, key));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, one]) => [k, coloured(one, style, k)]));
    }
    const names = typeof value === "string" && /^--[a-z0-9_-]+$/.test(value) && /color/.test(key);
    return names ? style.getPropertyValue(value).trim() : value;
  };

  const axis = (own, style) => {
    const quiet = style.getPropertyValue("--line").trim();
    const made = { gridcolor: quiet, linecolor: quiet, zeroline: false, automargin: true, fixedrange: coarse.matches };
    return { ...made, ...own, title: { standoff: 8, ...(own.title || {}) } };
  };

  // A bar's name is written where there is room for it.
  const fitted = (bar, width) => {
    if (bar.type !== "bar") return bar;
    return { ...bar, text: bar.text.map((name, i) => (bar.x[i] * width > 7.5 * name.length + 8 ? name : "")) };
  };

  // On a narrow screen only powers of ten have marks, if there are some.
  function sparse(along) {
    const kept = along.tickvals.map((v, i) => i).filter((i) => Number.isInteger(Math.log10(along.tickvals[i])));
    if (kept.filter((i) => Math.log10(along.tickvals[i]) > along.range[0] && Math.log10(along.tickvals[i]) < along.range[1]).length < 2) return;
    along.ticktext = kept.map((i) => along.ticktext[i]);
    along.tickvals = kept.map((i) => along.tickvals[i]);
  }

  function draw(id, chart) {
    const place = document.getElementById(`chart-${id}`);
    const style = getComputedStyle(root);
    const narrow = place.clientWidth < 560;
    const entries = chart.layout.showlegend ? chart.data.filter((one) => one.showlegend !== false).length : 0;
    const letters = chart.data.map((one) => (one.name || "").length);
    const each = Math.min(place.clientWidth, 60 + 7 * Math.max(0, ...letters));
    const rows = Math.ceil(entries / Math.max(1, Math.floor(place.clientWidth / each)));
    const height = chart.height + 20 * rows;
    place.style.height = `${height}px`;
    const { xaxis, yaxis, ...rest } = coloured(chart.layout, style);
    const ink = style.getPropertyValue("--ink").trim();
    const layout = {
      autosize: true,
      height,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: style.fontFamily, size: narrow ? 12 : 13, color: ink },
      dragmode: coarse.matches ? false : "zoom",
      hoverlabel: {
        align: "left",
        bgcolor: style.getPropertyValue("--paper").trim(),
        bordercolor: style.getPropertyValue("--quiet").trim(),
        font: { family: style.fontFamily, size: 13, color: ink },
      },
      legend: { orientation: "h", x: 0, xanchor: "left", xref: "container", y: 0, yanchor: "bottom", yref: "container", traceorder: "normal" },
      ...rest,
      margin: { l: 8, r: 8, t: 8, b: 48, ...(rest.margin || {}) },
      xaxis: axis(xaxis, style),
      yaxis: axis(yaxis, style),
    };
    layout.margin.b += 20 * rows;
    if (place.firstElementChild && place.firstElementChild.tagName === "P") place.textContent = "";
    if (narrow && layout.xaxis.type === "log") sparse(layout.xaxis);
    Plotly.react(place, coloured(chart.data, style).map((one) => fitted(one, place.clientWidth - 190)), layout, { displayModeBar: false, responsive: false });
  }

  const choice = document.getElementById("stack-of");
  const chosen = () => (choice ? choice.value : Object.keys(stacks)[0]);

  function drawAll() {
    for (const [id, chart] of Object.entries(charts)) draw(id, chart);
    drawStacks();
  }

  function drawStacks() {
    const keys = Object.keys(stacks);
    if (!keys.length) return;
    draw("stacks", stacks[chosen()]);
    keys.forEach((key, i) => { document.getElementById(`stack-table-${i}`).hidden = key !== chosen(); });
  }

  function sortBy(button) {
    const head = button.closest("th");
    const table = head.closest("table");
    const column = head.cellIndex;
    const descending = head.getAttribute("aria-sort") !== "descending";
    const body = table.tBodies[0];
    const rows = [...body.rows].filter((row) => !row.classList.contains("rest"));
    const key = (row) => row.cells[column].dataset.v;
    const numeric = rows.every((row) => key(row) !== "" && !Number.isNaN(Number(key(row))));
    const compare = numeric ? (a, b) => Number(key(a)) - Number(key(b)) : (a, b) => key(a).localeCompare(key(b));
    rows.sort((a, b) => (descending ? -compare(a, b) : compare(a, b)));
    const rest = body.querySelector("tr.rest");
    for (const row of rows) body.insertBefore(row, rest);
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  }

  root.classList.add("scripted");
  drawAll();
  if (choice) choice.addEventListener("change", drawStacks);
  for (const button of document.querySelectorAll("table.sortable th button")) {
    button.addEventListener("click", () => sortBy(button));
  }

  let width = window.innerWidth;
  let soon = 0;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return; // a phone's address bar comes and goes
    width = window.innerWidth;
    clearTimeout(soon);
    soon = setTimeout(drawAll, 120);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  for (const [event, on] of [["beforeprint", true], ["afterprint", false]]) {
    window.addEventListener(event, () => {
      root.classList.toggle("printing", on); // light colours, a sheet's width
      for (const details of document.querySelectorAll("details")) {
        if (on) details.dataset.was = details.open ? "open" : "";
        details.open = on ? details.open : details.dataset.was === "open";
      }
      drawAll();
    });
  }
})();
