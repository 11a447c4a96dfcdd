"use strict";
// Controls from the schema; whatever moves is asked for at once analytically, then at command level.
(() => {
  const SOON_MS = 60, SLOW_MS = 4000, STEPS = 1000;
  const COLUMNS = [["tokens_per_s", "token/s"], ["tokens_per_j_memory_and_macs", "token/J, memory and MACs"],
    ["tokens_per_j_board", "token/J, board or SoC"], ["edp_memory_and_macs_s_mj", "EDP, s·mJ"],
    ["power_memory_and_macs_w", "W, memory and MACs"], ["power_board_w", "W, board or SoC"],
    ["time_to_first_token_ms", "first token, ms"], ["mean_acceptance_length", "tokens per pass"],
    ["mean_l_spec", "mean L_spec"]];
  const first = JSON.parse(document.getElementById("first").textContent);
  const at = id => document.getElementById(id);
  let scenario = structuredClone(first.scenario), machine = first.machine;
  let asked = null, timer = 0, answers = { analytic: null, command: null };

  const make = (name, attributes, parent, text) => {
    const element = document.createElement(name);
    Object.entries(attributes || {}).forEach(([key, value]) => { if (value !== undefined) element.setAttribute(key, value); });
    if (text !== undefined) element.textContent = text; // never as HTML
    if (parent) parent.append(element);
    return element;
  };

  // Asking
  const send = async (path, body, signal) => {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal });
    let content;
    try { content = await answer.json(); } catch { content = { error: "lpspec serve gave no answer" }; }
    if (content.error) throw Object.assign(new Error(content.error), { faults: content.faults || [] });
    return content;
  };
  const failed = error => {
    if (error.name === "AbortError") return;
    const gone = error instanceof TypeError;
    at("error").textContent = [gone ? "lpspec serve does not answer: has it ended?" : error.message, ...(error.faults || [])].join("\n");
    at("status").textContent = "";
  };
  const seconds = start => `${((performance.now() - start) / 1000).toFixed(1)} s`;

  const ask = async () => {
    if (asked) asked.abort();
    asked = new AbortController();
    const { signal } = asked, start = performance.now(), body = structuredClone(scenario);
    ["table", "figures"].forEach(id => at(id).classList.add("stale"));
    at("status").textContent = "computing analytically";
    const slow = setTimeout(() => { at("status").textContent = "still computing: the first answers of an installation compile loops, which takes a minute"; }, SLOW_MS);
    try {
      answers = { analytic: await send("/table/analytic", body, signal), command: null };
      clearTimeout(slow);
      at("error").textContent = "";
      at("toml").textContent = answers.analytic.toml;
      const closed = `analytic in ${seconds(start)}`;
      fill();
      at("status").textContent = `${closed}; computing at command level`;
      const pictures = send("/drawings", body, signal).then(draw);
      const commands = send("/table/command", body, signal).then(found => {
        answers.command = found;
        fill();
        at("status").textContent = `${closed}, command level in ${seconds(start)}`;
      });
      await Promise.all([pictures, commands]);
    } catch (error) {
      failed(error);
    } finally { clearTimeout(slow); }
  };
  const askSoon = () => { clearTimeout(timer); timer = setTimeout(ask, SOON_MS); };

  // Showing
  const fill = () => {
    const table = at("table");
    table.textContent = "";
    table.classList.remove("stale");
    const head = make("tr", {}, make("thead", {}, table));
    make("th", { scope: "col", class: "t" }, head, "system");
    make("th", { scope: "col", class: "t" }, head, "level");
    COLUMNS.forEach(([, label]) => make("th", { scope: "col" }, head, label));
    const body = make("tbody", {}, table);
    const byCommand = new Map((answers.command ? answers.command.systems : []).map(one => [one.system, one]));
    for (const one of answers.analytic.systems) {
      const row = make("tr", { class: "first" }, body);
      make("td", { class: "t" }, row, one.system);
      make("td", { class: "t" }, row, "analytic");
      COLUMNS.forEach(([name]) => make("td", {}, row, one.cells[name]));
      const second = make("tr", { class: "second" }, body), found = byCommand.get(one.system);
      make("td", { class: "t" }, second);
      if (found && found.fidelity !== "command") { make("td", { class: "t wait", colspan: COLUMNS.length + 1 }, second, "no command level"); continue; }
      make("td", { class: "t" }, second, "command level");
      COLUMNS.forEach(([name]) => make("td", found ? {} : { class: "wait" }, second, found ? found.cells[name] : "…"));
    }
    const shown = answers.analytic.systems.find(one => one.system === machine) || answers.analytic.systems[0];
    at("brief").textContent = `${shown.system}: ${shown.cells.tokens_per_s} token/s, EDP ${shown.cells.edp_memory_and_macs_s_mj} s·mJ`;
    const notes = at("notes");
    notes.textContent = "";
    const { left_out, notes: said } = answers.command || answers.analytic;
    left_out.forEach(one => make("li", {}, notes, `${one.system} is left out: ${one.why}`));
    said.forEach(note => make("li", {}, notes, `note: ${note}`));
  };
  const draw = found => {
    const place = at("figures");
    place.textContent = "";
    place.classList.remove("stale");
    for (const { name, caption, svg } of found.figures) {
      const figure = make("figure", {}, place);
      make("img", { src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`, alt: `${caption} The table has the numbers.`, "data-name": name }, figure);
      make("figcaption", {}, figure, caption);
    }
  };

  // Controls
  const holderOf = path => path.includes(".") ? [scenario[path.split(".")[0]], path.split(".")[1]] : [scenario, path];
  const setOption = (control, value) => {
    const [holder, name] = holderOf(control.path);
    holder[name] = value;
    if (control.path !== "model") return;
    Object.keys(scenario.changes).filter(key => key.startsWith("model.")).forEach(key => delete scenario.changes[key]);
    build(); // another model has other dimensions
  };
  const setConstant = (control, value) => {
    if (value === control.default || value === null) delete scenario.changes[control.path];
    else scenario.changes[control.path] = control.unit ? `${value} ${control.unit}` : String(value);
  };
  let made = 0;
  const addControl = (control, parent, set) => {
    const id = `control-${made++}`, row = make("div", { class: "control" }, parent);
    row.dataset.path = control.path;
    make("label", { for: id }, row, control.label);
    const value = make("span", { class: "value" }, row), help = [control.help, control.source].filter(Boolean).join(" — ");
    const change = found => {
      row.classList.toggle("moved", found !== control.default);
      set(control, found);
      askSoon();
    };
    const parts = { flag: addFlag, choice: addChoice, number: addNumber, text: addText };
    parts[control.kind](control, id, row, value, change);
    if (help) make("p", { class: "help", id: `${id}-help` }, row, help);
    row.querySelectorAll("input, select").forEach(one => one.setAttribute("aria-describedby", `${id}-help`));
    row.classList.toggle("moved", control.value !== control.default);
  };
  const addFlag = (control, id, row, value, change) => {
    const input = make("input", { type: "checkbox", id }, value);
    input.checked = control.value;
    input.addEventListener("change", () => change(input.checked));
  };
  const addChoice = (control, id, row, value, change) => {
    const select = make("select", { id }, value);
    control.choices.forEach(choice => make("option", { value: choice }, select, choice));
    if (!control.choices.includes(control.value)) make("option", { value: control.value }, select, control.value);
    select.value = control.value;
    select.addEventListener("change", () => change(select.value));
  };
  const addText = (control, id, row, value, change) => {
    const input = make("input", { type: "text", id, list: control.names.length ? `${id}-names` : undefined, spellcheck: "false" }, value);
    input.value = control.value ?? "";
    input.placeholder = control.default === null ? "left out" : "";
    if (control.names.length) {
      const names = make("datalist", { id: `${id}-names` }, value);
      control.names.forEach(name => make("option", { value: name }, names));
    }
    input.addEventListener("change", () => change(input.value.trim() === "" ? control.default : input.value.trim()));
  };
  const addNumber = (control, id, row, value, change) => {
    const input = make("input", { type: "number", id, step: control.whole ? 1 : "any", min: control.least }, value);
    make("span", {}, value, control.unit);
    input.value = control.value ?? "";
    if (control.value === null) input.placeholder = "left out";
    const given = text => (text === "" ? control.default : Number(text));
    if (control.from === undefined || control.from >= control.to) {
      input.addEventListener("change", () => change(given(input.value)));
      return;
    }
    const { from, to, logarithmic, whole } = control, few = whole && !logarithmic;
    const slider = make("input", { type: "range", min: few ? from : 0, max: few ? to : STEPS, step: 1, "aria-label": `${control.label} slider` }, row);
    const place = number => {
      const inside = Math.min(to, Math.max(from, number));
      if (few) return inside;
      return STEPS * (logarithmic ? Math.log(inside / from) / Math.log(to / from) : (inside - from) / (to - from));
    };
    const numberAt = steps => {
      if (few) return steps;
      const share = steps / STEPS, found = logarithmic ? from * (to / from) ** share : from + share * (to - from);
      return whole ? Math.round(found) : Number(found.toPrecision(3));
    };
    const say = () => slider.setAttribute("aria-valuetext", `${input.value} ${control.unit}`.trim());
    slider.value = place(control.value);
    say();
    slider.addEventListener("input", () => {
      const found = numberAt(Number(slider.value));
      if (String(found) === input.value) return;
      input.value = found;
      say();
      change(found);
    });
    slider.addEventListener("keydown", event => { // one whole number at a time, however fine the slider is
      const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!way || !whole || few) return;
      event.preventDefault();
      const found = Math.min(to, Math.max(from, Number(input.value) + way));
      input.value = found;
      slider.value = place(found);
      say();
      change(found);
    });
    input.addEventListener("change", () => {
      const found = given(input.value);
      input.value = found;
      slider.value = place(found);
      say();
      change(found);
    });
  };

  const addSystems = (content, parent) => {
    const box = make("fieldset", {}, parent);
    make("legend", {}, box, "systems");
    const boxes = make("div", { class: "boxes" }, box), known = content.systems.map(one => one.name);
    const ticked = new Set(scenario.systems || known);
    const extra = [...ticked].filter(name => !known.includes(name)).map(name => ({ name, help: "" }));
    for (const { name, help } of [...content.systems, ...extra]) {
      const label = make("label", { title: help }, boxes), input = make("input", { type: "checkbox", value: name }, label);
      input.checked = ticked.has(name);
      label.append(` ${name}`);
      input.addEventListener("change", () => {
        ticked[input.checked ? "add" : "delete"](name);
        if (!ticked.size) { at("error").textContent = "tick a system"; return; }
        scenario.systems = [...content.systems, ...extra].map(one => one.name).filter(one => ticked.has(one));
        askSoon();
      });
    }
  };
  const addMachine = (content, parent) => {
    const row = make("div", { class: "control" }, parent);
    make("label", { for: "machine" }, row, "machine");
    const select = make("select", { id: "machine" }, make("span", { class: "value" }, row));
    content.systems.forEach(one => make("option", { value: one.name }, select, one.name));
    if (!content.systems.some(one => one.name === machine)) make("option", { value: machine }, select, machine);
    select.value = machine;
    select.addEventListener("change", () => { machine = select.value; build(); });
    make("p", { class: "help" }, row, "whose constants stand below; a change holds for every system that has the constant");
  };
  const fold = (parent, title, open) => {
    const details = make("details", open ? { open: "" } : {}, parent);
    make("summary", {}, details, title);
    return details;
  };
  const build = async () => {
    try {
      const content = await send(`/controls?machine=${encodeURIComponent(machine)}`, scenario);
      const place = at("controls");
      place.textContent = "";
      addSystems(content, place);
      const [work, rest] = [true, false].map(isWork => content.options.filter(one => one.of_workload === isWork));
      const run = fold(place, "model and workload", true);
      work.forEach(control => addControl(control, run, setOption));
      const shape = fold(run, "dimensions of the model", true);
      content.model.forEach(control => addControl(control, shape, setConstant));
      addMachine(content, place);
      for (const table of content.tables) {
        const details = fold(place, table.name || "whole machine", !table.folded);
        table.controls.forEach(control => addControl(control, details, setConstant));
      }
      const others = fold(place, "drafts, trees, precision and energy", true);
      rest.forEach(control => addControl(control, others, setOption));
    } catch (error) { failed(error); }
  };

  // Keeping
  at("download").addEventListener("click", async () => {
    if (!answers.analytic) return;
    const link = make("a", { href: URL.createObjectURL(new Blob([answers.analytic.toml], { type: "application/toml" })), download: at("name") ? at("name").value : "scenario.toml" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  if (first.saves) at("save").addEventListener("click", async () => {
    try {
      const { wrote } = await send(`/save?name=${encodeURIComponent(at("name").value)}`, scenario);
      at("kept").textContent = `wrote ${wrote}`;
    } catch (error) { at("kept").textContent = error.message; }
  });
  at("reset").addEventListener("click", () => {
    scenario = structuredClone(first.scenario);
    machine = first.machine;
    build();
    ask();
  });
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(one => { one.open = true; }));
  build();
  ask();
})();
