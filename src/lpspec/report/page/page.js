"use strict";
// The points of a page: a scatter with its front, filters, and a table that all follow each other.
(() => {
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#8c8c8c"]; // Okabe and Ito, and grey
  const RAMP = ["#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b"];
  const FRONT = "#000000", PAGE_ROWS = 25, MOST_BOXES = 10, NEAR_PX = 24;
  const data = JSON.parse(document.getElementById("cloud").textContent);
  const root = document.getElementById("cloud-here");

  const make = (name, text, parent) => { // text is never HTML: names come from results
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  const shown = value => {
    if (value === null || value === undefined) return "-";
    if (typeof value !== "number") return String(value);
    if (value === 0 || Number.isInteger(value)) return value.toLocaleString("en-US");
    const size = Math.abs(value);
    return size >= 1e-4 && size < 1e7
      ? value.toLocaleString("en-US", { maximumSignificantDigits: 4 })
      : value.toExponential(3);
  };
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(one => { one.open = true; }));
  if (!root) return;

  const plain = coded => (Array.isArray(coded) ? coded : coded.at.map(i => coded.of[i]));
  const columns = data.columns.map(column => ({ ...column, values: plain(column.values) }));
  const byName = new Map(columns.map(column => [column.name, column]));
  const axes = columns.filter(column => column.role === "axis");
  const metrics = columns.filter(column => column.role === "metric");
  const count = columns[0].values.length;
  const state = { x: byName.get(data.x), y: byName.get(data.y), log: false, colour: null, sort: null, down: false,
    rows: PAGE_ROWS, picked: -1, near: -1 };
  let kept = [], front = new Set(), order = [], places = { x: [], y: [] };

  const distinct = column => {
    if (!column.distinct) {
      const numbers = column.values.every(value => typeof value === "number");
      column.distinct = [...new Set(column.values)];
      column.distinct.sort(numbers ? (a, b) => a - b : (a, b) => String(a).localeCompare(String(b), "en", { numeric: true }));
      column.rank = new Map(column.distinct.map((value, i) => [value, i]));
    }
    return column.distinct;
  };

  // What is shown: boxes of each value where there are few, else a range between two sliders.
  const filters = axes.filter(axis => distinct(axis).length > 1).map(axis => ({
    axis, from: 0, to: distinct(axis).length - 1, off: new Set(),
  }));
  const passes = i => filters.every(({ axis, from, to, off }) => {
    const rank = axis.rank.get(axis.values[i]);
    return rank >= from && rank <= to && !off.has(rank);
  });

  const computeFront = () => {
    const { x, y } = state;
    front = new Set();
    if (!x.better || !y.better) return;
    const sign = column => (column.better === "higher" ? -1 : 1);
    const a = sign(x), b = sign(y);
    const able = kept.filter(i => x.values[i] !== null && y.values[i] !== null);
    able.sort((i, j) => a * (x.values[i] - x.values[j]) || b * (y.values[i] - y.values[j]));
    let best = Infinity, at = NaN;
    for (const i of able) {
      const up = b * y.values[i];
      if (up < best || (up === best && x.values[i] === at)) { front.add(i); best = up; at = x.values[i]; }
    }
  };

  const both = make("div", undefined, root);
  both.className = "both";
  const left = make("div", undefined, both);
  const bar = make("div", undefined, left);
  bar.className = "bar";
  const choice = (label, options, chosen, act) => {
    const holder = make("label", `${label} `, bar), select = make("select", undefined, holder);
    options.forEach(([name, text]) => { make("option", text, select).value = name; });
    select.value = chosen;
    select.addEventListener("change", () => { act(select.value); update(); });
  };
  const named = metrics.map(metric => [metric.name, metric.label]);
  choice("across", named, data.x, name => { state.x = byName.get(name); });
  choice("up", named, data.y, name => { state.y = byName.get(name); });
  const tinted = axes.filter(axis => distinct(axis).length > 1);
  state.colour = tinted.find(axis => distinct(axis).length <= COLOURS.length) || tinted[0] || null;
  if (tinted.length > 1)
    choice("colour", tinted.map(axis => [axis.name, axis.label]), state.colour.name, name => { state.colour = byName.get(name); });
  const holder = make("label", undefined, bar), log = make("input", undefined, holder);
  log.type = "checkbox"; holder.append(" log scales");
  log.addEventListener("change", () => { state.log = log.checked; update(); });

  const plot = make("div", undefined, left);
  plot.className = "plot";
  const canvas = make("canvas", undefined, plot), tip = make("div", undefined, plot);
  canvas.setAttribute("role", "img");
  Object.assign(tip, { className: "tip", hidden: true });
  const key = make("div", undefined, left), said = make("p", undefined, left);
  key.className = "key";
  Object.assign(said, { id: "shown", ariaLive: "polite" });

  const ticks = (low, high, logarithmic) => {
    const found = [];
    if (logarithmic) {
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
        for (const digit of high / low > 30 ? [1] : [1, 2, 5]) {
          const value = digit * 10 ** power;
          if (value >= low && value <= high) found.push(value);
        }
      if (found.length > 1) return found;
      found.length = 0;
    }
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find(each => each * power >= rough) * power;
    for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-12); i++) found.push(Number((i * step).toPrecision(12)));
    return found;
  };
  const colourOf = i => {
    const column = state.colour;
    if (!column) return COLOURS[0];
    const many = column.distinct.length, rank = column.rank.get(column.values[i]);
    return many <= COLOURS.length ? COLOURS[rank] : RAMP[Math.floor((rank * RAMP.length) / many)];
  };

  const scale = (column, from, to) => {
    let low = Infinity, high = -Infinity;
    for (const i of kept) {
      const value = column.values[i];
      if (value !== null && value !== undefined) { low = Math.min(low, value); high = Math.max(high, value); }
    }
    if (low === Infinity) return null;
    const logarithmic = state.log && low > 0;
    const room = logarithmic ? (high / low) ** 0.05 || 1 : (high - low) * 0.05;
    [low, high] = logarithmic ? [low / room, high * room] : [low - room, high + room];
    if (high === low) [low, high] = low === 0 ? [-1, 1] : [low - Math.abs(low) / 2, high + Math.abs(high) / 2];
    const f = logarithmic ? Math.log : Number;
    return { low, high, logarithmic, at: value => from + ((f(value) - f(low)) / (f(high) - f(low))) * (to - from) };
  };

  // Each name beside its point where it covers no other name and no point; where there is no such place, the tip has it.
  const drawNames = (pen, width, height) => {
    const taken = kept.map(i => [places.x[i] - 6, places.y[i] - 6, 12, 12]);
    const covers = (a, b) => a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3];
    Object.assign(pen, { textAlign: "left", strokeStyle: "#fff", lineWidth: 3, fillStyle: "#1b1b1b" });
    for (const i of [...kept].sort((i, j) => front.has(j) - front.has(i))) {
      const size = pen.measureText(data.names[i]).width, left = places.x[i] - 8 - size, right = places.x[i] + 8;
      const box = [[right, -16], [left, -16], [right, 4], [left, 4]].map(([x, down]) => [x, places.y[i] + down, size, 13])
        .find(one => one[0] >= 0 && one[0] + size <= width && one[1] + 13 <= height && !taken.some(other => covers(one, other)));
      if (!box) continue;
      taken.push(box);
      pen.strokeText(data.names[i], box[0], box[1] + 10);
      pen.fillText(data.names[i], box[0], box[1] + 10);
    }
  };

  const draw = () => {
    const width = plot.clientWidth, height = Math.round(Math.min(460, Math.max(300, width * 0.6)));
    const dense = window.devicePixelRatio || 1;
    canvas.width = width * dense;
    canvas.height = height * dense;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(dense, dense);
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    const x = scale(state.x, 58, width - 12), y = scale(state.y, height - 44, 12);
    places = { x: new Float64Array(count).fill(NaN), y: new Float64Array(count).fill(NaN) };
    pen.font = "12px system-ui, sans-serif";
    if (!x || !y) { pen.fillStyle = "#5a5a5a"; pen.fillText("no point has both figures", 60, height / 2); return; }
    pen.strokeStyle = "#e4e4e4";
    pen.fillStyle = "#5a5a5a";
    pen.textAlign = "center";
    let last = -Infinity;
    for (const value of ticks(x.low, x.high, x.logarithmic)) {
      const place = x.at(value);
      pen.beginPath(); pen.moveTo(place, 12); pen.lineTo(place, height - 44); pen.stroke();
      const half = pen.measureText(shown(value)).width / 2;
      if (place - half > last + 6) { pen.fillText(shown(value), place, height - 28); last = place + half; }
    }
    pen.textAlign = "right";
    for (const value of ticks(y.low, y.high, y.logarithmic)) {
      pen.beginPath(); pen.moveTo(58, y.at(value)); pen.lineTo(width - 12, y.at(value)); pen.stroke();
      pen.fillText(shown(value), 52, y.at(value) + 4);
    }
    pen.fillStyle = "#1b1b1b";
    pen.textAlign = "center";
    const way = column => (column.better ? ` (${column.better} is better)` : "");
    pen.fillText(state.x.label + way(state.x), (58 + width - 12) / 2, height - 8, width - 70);
    pen.save();
    pen.translate(11, (height - 44) / 2 + 6);
    pen.rotate(-Math.PI / 2);
    pen.fillText(state.y.label + way(state.y), 0, 0, height - 56);
    pen.restore();
    const size = kept.length > 3000 ? 2 : kept.length > 400 ? 2.6 : 4.5;
    for (const i of kept) {
      if (state.x.values[i] === null || state.y.values[i] === null) continue;
      places.x[i] = x.at(state.x.values[i]);
      places.y[i] = y.at(state.y.values[i]);
      pen.fillStyle = colourOf(i);
      if (size < 2.5) pen.fillRect(places.x[i] - size, places.y[i] - size, 2 * size, 2 * size);
      else { pen.beginPath(); pen.arc(places.x[i], places.y[i], size, 0, 7); pen.fill(); }
    }
    const line = [...front].sort((i, j) => places.x[i] - places.x[j]);
    pen.strokeStyle = FRONT;
    pen.lineWidth = 1.5;
    pen.beginPath();
    line.forEach((i, n) => {
      if (n === 0) { pen.moveTo(places.x[i], places.y[i]); return; }
      const corner = state.x.better === "higher" ? [places.x[line[n - 1]], places.y[i]] : [places.x[i], places.y[line[n - 1]]];
      pen.lineTo(...corner); pen.lineTo(places.x[i], places.y[i]);
    });
    pen.stroke();
    for (const i of line) { pen.beginPath(); pen.arc(places.x[i], places.y[i], size + 2, 0, 7); pen.stroke(); }
    for (const i of [state.picked, state.near]) {
      if (i < 0 || Number.isNaN(places.x[i])) continue;
      pen.strokeStyle = "#000"; pen.lineWidth = 2;
      pen.beginPath(); pen.arc(places.x[i], places.y[i], size + 4, 0, 7); pen.stroke();
    }
    if (data.names && kept.length <= 40) drawNames(pen, width, height - 44);
    canvas.setAttribute("aria-label", `${kept.length} points: ${state.y.label} over ${state.x.label}; the table below has them`);
  };

  const drawKey = () => {
    key.textContent = "";
    const entry = (colour, text) => { const one = make("span", undefined, key); make("i", undefined, one).style.background = colour; one.append(text); };
    const column = state.colour;
    if (column && column.distinct.length <= COLOURS.length)
      column.distinct.forEach((value, rank) => entry(COLOURS[rank], `${column.label} ${shown(value)}`));
    else if (column) {
      entry(RAMP[0], `${column.label} ${shown(column.distinct[0])}`);
      entry(RAMP[RAMP.length - 1], shown(column.distinct[column.distinct.length - 1]));
    }
    if (front.size) entry(FRONT, "no point shown beats these (line)");
  };

  // Filters
  const panel = make("div", undefined, both);
  panel.className = "filters";
  for (const filter of filters) {
    const box = make("fieldset", undefined, panel), values = distinct(filter.axis);
    make("legend", filter.axis.label, box);
    if (values.length <= MOST_BOXES) {
      values.forEach((value, rank) => {
        const label = make("label", undefined, box), input = make("input", undefined, label);
        input.type = "checkbox";
        input.checked = true;
        label.append(` ${shown(value)}`);
        input.addEventListener("change", () => { filter.off[input.checked ? "delete" : "add"](rank); update(); });
      });
      continue;
    }
    const says = make("output", `${shown(values[0])} to ${shown(values[values.length - 1])}`, box);
    const sliders = ["from", "to"].map(end => {
      const input = make("input", undefined, box);
      Object.assign(input, { type: "range", min: 0, max: values.length - 1, step: 1, value: filter[end] });
      input.setAttribute("aria-label", `${filter.axis.label} ${end}`);
      return input;
    });
    sliders.forEach(input => input.addEventListener("input", () => {
      const ends = sliders.map(one => Number(one.value));
      [filter.from, filter.to] = [Math.min(...ends), Math.max(...ends)];
      says.textContent = `${shown(values[filter.from])} to ${shown(values[filter.to])}`;
      update();
    }));
  }
  if (!filters.length) panel.remove();

  // Table
  const wide = make("div", undefined, root);
  wide.className = "wide";
  wide.tabIndex = 0;
  const table = make("table", undefined, wide), head = make("tr", undefined, make("thead", undefined, table));
  const listed = columns.filter(column => column.role === "axis" || column.listed);
  const heads = listed.map(column => {
    const cell = make("th", undefined, head), button = make("button", undefined, cell);
    column.label.split(/(?<=[._])/).forEach(part => { button.append(part); make("wbr", undefined, button); });
    cell.scope = "col";
    if (column.values.some(value => typeof value === "string")) cell.className = "t";
    button.addEventListener("click", () => {
      state.down = state.sort === column ? !state.down : column.better === "higher";
      state.sort = column;
      update();
    });
    return cell;
  });
  const body = make("tbody", undefined, table), more = make("button", "more rows", root);
  more.addEventListener("click", () => { state.rows += 100; fill(); });
  const detail = make("div", undefined, root);
  detail.id = "picked";

  const fill = () => {
    body.textContent = "";
    for (const i of order.slice(0, state.rows)) {
      const row = make("tr", undefined, body);
      row.dataset.point = i;
      if (i === state.picked) row.className = "picked";
      listed.forEach((column, n) => {
        const cell = make("td", `${n === 0 && front.has(i) ? "● " : ""}${shown(column.values[i])}`, row);
        if (typeof column.values[i] !== "number") cell.className = "t";
      });
    }
    more.hidden = order.length <= state.rows;
  };
  body.addEventListener("click", event => {
    const row = event.target.closest("tr");
    if (row) pick(Number(row.dataset.point));
  });

  const scenarioOf = i => {
    const found = JSON.parse(JSON.stringify(data.scenario));
    for (const { path, values } of data.changed) {
      const value = Array.isArray(values) ? values[i] : values.of[values.at[i]];
      const holder = path.slice(0, -1).reduce((within, name) => (within[name] ??= {}), found);
      if (!(value === null && path[0] === "changes")) holder[path[path.length - 1]] = value;
    }
    return found;
  };
  const pick = i => {
    state.picked = i;
    detail.textContent = "";
    if (i >= 0) {
      make("h3", data.names ? data.names[i] : "the point picked", detail);
      const list = make("table", undefined, make("div", undefined, detail));
      list.parentNode.className = "wide";
      const lines = make("tbody", undefined, list);
      for (const column of columns) {
        const row = make("tr", undefined, lines);
        make("td", column.meaning || column.label, row).className = "t";
        make("td", shown(column.values[i]), row);
      }
      if (data.scenario) {
        make("p", "Its scenario; saved as point.json, lpspec compare --scenario point.json repeats it:", detail);
        make("pre", JSON.stringify(scenarioOf(i), null, 1), detail).id = "scenario";
      }
    }
    fill();
    draw();
  };

  const nearest = event => {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = NEAR_PX ** 2, found = -1;
    for (const i of kept) {
      const distance = (places.x[i] - x) ** 2 + (places.y[i] - y) ** 2;
      if (distance < best) { best = distance; found = i; }
    }
    return found;
  };
  const hover = event => {
    const i = nearest(event);
    if (i === state.near) return;
    state.near = i;
    draw();
    tip.hidden = i < 0;
    if (i < 0) return;
    tip.textContent = "";
    if (data.names) make("strong", data.names[i], tip);
    for (const column of new Set([state.x, state.y, ...axes.slice(0, 8)]))
      make("div", `${column.label}: ${shown(column.values[i])}`, tip);
    const right = places.x[i] > canvas.clientWidth / 2;
    tip.style.left = right ? "auto" : `${places.x[i] + 12}px`;
    tip.style.right = right ? `${canvas.clientWidth - places.x[i] + 12}px` : "auto";
    tip.style.top = `${Math.max(0, places.y[i] - 20)}px`;
  };
  canvas.addEventListener("pointermove", hover);
  canvas.addEventListener("pointerleave", () => { state.near = -1; tip.hidden = true; draw(); });
  canvas.addEventListener("click", event => { hover(event); if (state.near >= 0) pick(state.near); });

  const update = () => {
    kept = [];
    for (let i = 0; i < count; i++) if (passes(i)) kept.push(i);
    computeFront();
    const column = state.sort;
    order = [...kept];
    if (column) {
      distinct(column);
      const way = state.down ? -1 : 1;
      order.sort((i, j) => {
        const a = column.values[i], b = column.values[j];
        if (a === null || b === null) return (a === null) - (b === null);
        return way * (column.rank.get(a) - column.rank.get(b));
      });
    } else {
      const way = state.x.better === "lower" ? 1 : -1;
      order.sort((i, j) => front.has(j) - front.has(i) || way * (state.x.values[i] - state.x.values[j]));
    }
    heads.forEach((cell, n) => cell.setAttribute("aria-sort", listed[n] !== column ? "none" : state.down ? "descending" : "ascending"));
    state.near = -1;
    tip.hidden = true;
    state.rows = PAGE_ROWS;
    said.textContent = `${kept.length.toLocaleString("en-US")} of ${count.toLocaleString("en-US")} ${data.what} shown`
      + (state.x.better && state.y.better ? `, ${front.size} of them on the front (●)` : "; no front, as neither way of a figure is better");
    drawKey();
    fill();
    draw();
  };
  window.addEventListener("resize", draw);
  update();
})();
