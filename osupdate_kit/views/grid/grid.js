// The face of DeviceGrid. It shows the rows that Python sends for the window in view and tells Python what people do.
// Whatever comes from a device reaches the page by textContent only.

const ROW = 28; // pixels; grid.css says the same
const SPARE = 8; // rows beyond each edge of the window, so that scrolling shows no gap
const TALLEST = 15e6; // pixels; browsers limit an element's height, beyond this scrolling is proportional
const HEAD = -2; // the head and the filters are rows of the grid, too
const FILTERS = -1;
const DEBOUNCE = 150; // ms
const ANNOUNCE = 10_000; // ms between two spoken counts
const PATIENCE = 5_000; // ms until a silent kernel is mentioned
const ARMED = 1;
const REGRESSED = 2;
const DECLARED = 4;
const PICKED = 1;
const BARRED = 2;

// Width of a column: at least so many pixels, and its part of what is left; by kind, and by name where that says more.
const WIDTHS = {
  text: [112, 1], choice: [88, 0.6], version: [108, 0.2], flag: [84, 0], number: [84, 0], moment: [64, 0.1], state: [204, 1.2],
};
const WIDTH_OF = { name: [140, 1.4], serial: [112, 0.1], model: [140, 1], platform: [84, 0.1], site: [80, 0.5], ring: [80, 0.1] };
const MARK = 36;

// --- small makers ---

function make(tag, name = "", text = "", more = {}) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text) node.textContent = text;
  for (const [key, value] of Object.entries(more)) node.setAttribute(key, value);
  return node;
}

function button(text, act, name = "") {
  const node = make("button", name, text, { type: "button" });
  node.addEventListener("click", act);
  return node;
}

const count = (number) => number.toLocaleString("en-US");

// Shapes of the groups on a 16 × 16 field: [element, attributes]; "solid" is filled, "cut" is drawn in the ground's colour.
const RING = ["circle", { cx: 8, cy: 8, r: 6 }];
const SHAPES = {
  reached: [["circle", { cx: 8, cy: 8, r: 7, class: "solid" }], ["path", { d: "M4.7 8.2l2.4 2.3 4.2-4.8", class: "cut" }]],
  put_off: [["path", { d: "M5.5 3v10M10.5 3v10", class: "thick" }]],
  waiting: [RING],
  attention: [["path", { d: "M8 1.6L15.2 14.4H.8z", class: "solid" }], ["path", { d: "M8 6v4M8 12v.6", class: "cut" }]],
  lost: [["rect", { x: 1.4, y: 1.4, width: 13.2, height: 13.2, rx: 2, class: "solid" }], ["path", { d: "M5.2 5.2l5.6 5.6m0-5.6l-5.6 5.6", class: "cut" }]],
  barred: [RING, ["path", { d: "M3.8 12.2l8.4-8.4" }]],
  bolt: [["path", { d: "M9.5 1L3 9.5h4L6.2 15 13 6.5H9z", class: "solid" }]],
  back: [["path", { d: "M6 2.5L2.5 6 6 9.5M2.5 6H10a3.5 3.5 0 010 7H6" }]],
  pennant: [["path", { d: "M4 14.5v-13M4 2.5h8.5l-2.2 3 2.2 3H4" }]],
};
const REACHED = { queued: 10, listing: 22, scheduled: 36, downloading: 50, downloaded: 66, installing: 80, verifying: 92 };

function icon(shape, name = "", state = "") {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const way = { ...RING[1], pathLength: 100, "stroke-dasharray": `${REACHED[state] ?? 0} 100`, transform: "rotate(-90 8 8)" };
  const parts = shape === "active" ? [["circle", { ...RING[1], class: "faint" }], ["circle", way]] : SHAPES[shape];
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon ${name}`);
  for (const [tag, attributes] of parts) {
    const part = document.createElementNS(space, tag);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    svg.append(part);
  }
  return svg;
}

// --- one view of a grid ---

class GridView {
  constructor(model, el) {
    this.model = model;
    this.id = crypto.randomUUID?.() ?? String(Math.random());
    this.page = null; // the newest rows: {order, start, marks, cells}
    this.request = 0;
    this.askedAt = 0; // when the unanswered request was sent; 0: none
    this.at = { row: 0, column: 0 };
    this.anchor = 0;
    this.spokenAt = 0;
    this.menu = null;
    this.root = make("section", "osk-grid", "", { "aria-label": "Devices", "data-lm-suppress-shortcuts": "true" });
    this.build();
    el.append(this.root);
    this.listeners = [
      ["change:status", () => this.tell()],
      ["change:news", () => this.refresh(this.model.get("news").views?.[this.id])],
      ["change:columns", () => this.rebuild()],
      ["msg:custom", (message) => this.hear(message)],
    ];
    for (const [event, act] of this.listeners) model.on(event, act);
    this.resizing = new ResizeObserver(() => this.ask());
    this.resizing.observe(this.port);
    this.tell();
    this.ask();
  }

  end() {
    this.resizing.disconnect();
    clearInterval(this.watch);
    for (const timer of [this.speaking, this.debounced]) clearTimeout(timer);
    for (const [event, act] of this.listeners) this.model.off(event, act);
    this.send({ do: "gone", view: this.id });
  }

  send(message) {
    this.model.send(message);
  }

  get status() {
    return this.model.get("status");
  }

  // --- building ---

  build() {
    this.search = make("input", "search", "", { type: "search", placeholder: "Search name, serial, site…", "aria-label": "Search devices" });
    this.search.addEventListener("input", () => this.later(() => this.send({ do: "search", text: this.search.value })));
    this.actButton = button("", () => this.send({ do: "act" }), "solid");
    this.clearButton = button("Clear", () => this.send({ do: "none" }));
    const buttons = make("div", "buttons");
    buttons.append(
      button("All filtered", () => this.send({ do: "all" })), button("Invert", () => this.send({ do: "invert" })),
      this.clearButton, button("Paste serials…", (event) => this.openPaste(event.currentTarget)), this.actButton,
    );
    const bar = make("header");
    bar.append(this.search, buttons);

    this.line = make("p", "selection");
    this.note = make("p", "note");
    this.alarm = make("div", "alarm", "", { role: "alert" });
    this.port = make("div", "port", "", { role: "grid", "aria-label": "Devices", "aria-multiselectable": "true", tabindex: "-1" });
    this.heads = make("div", "heads", "", { role: "rowgroup" });
    this.body = make("div", "body", "", { role: "rowgroup" });
    this.rows = make("div", "rows", "", { role: "presentation" });
    this.body.append(this.rows);
    this.port.append(this.heads, this.body);
    this.empty = make("div", "empty");
    this.foot = make("footer");
    this.where = make("span", "where");
    this.when = make("span", "when");
    this.keys = make("span", "keys");
    for (const [key, what] of [["↑↓", "move"], ["Space", "select"], ["⇧", "range"], ["Ctrl A", "all filtered"], ["/", "search"]]) {
      this.keys.append(make("kbd", "", key), ` ${what} `);
    }
    this.foot.append(this.where, this.when, this.keys);
    this.spoken = make("div", "spoken", "", { role: "status", "aria-live": "polite" });
    const frame = make("div", "frame");
    frame.append(this.port, this.empty);
    this.root.append(bar, this.line, this.note, this.alarm, frame, this.foot, this.spoken);

    this.port.addEventListener("scroll", () => this.scrolled());
    this.port.addEventListener("focusin", (event) => this.focused(event.target));
    this.rows.addEventListener("click", (event) => this.clicked(event));
    this.rows.addEventListener("mouseover", (event) => this.hovered(event.target));
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("focusout", (event) => this.left(event));
    this.rebuild();
    this.watch = setInterval(() => this.wonder(), 1_000);
  }

  rebuild() {
    this.columns = this.model.get("columns");
    const widths = this.columns.map((column) => WIDTH_OF[column.name] ?? WIDTHS[column.kind]);
    this.root.style.setProperty("--columns", `${MARK}px ${widths.map(([least, part]) => `minmax(${least}px, ${part}fr)`).join(" ")}`);
    this.root.style.setProperty("--least", `${widths.reduce((sum, [least]) => sum + least, MARK)}px`);
    this.root.style.setProperty("--visible", this.model.get("height"));
    this.port.setAttribute("aria-colcount", this.columns.length + 1);
    const head = make("div", "row head", "", { role: "row", "aria-rowindex": 1 });
    const filters = make("div", "row filters", "", { role: "row", "aria-rowindex": 2 });
    this.allBox = button("", () => this.send({ do: this.status.allShown ? "none" : "all" }), "box");
    const corner = make("div", "mark", "", { role: "columnheader", "aria-label": "Selected" });
    corner.append(this.allBox);
    head.append(corner);
    filters.append(make("div", "mark", "", { role: "gridcell" }));
    this.sorters = new Map();
    this.filterButtons = new Map();
    for (const column of this.columns) {
      const cell = make("div", column.kind, "", { role: "columnheader" });
      const sorter = button(column.label, (event) => this.send({ do: "sort", column: column.name, more: event.shiftKey }), "sorter");
      sorter.title = "Sort; with Shift, beside the other columns";
      cell.append(sorter);
      head.append(cell);
      this.sorters.set(column.name, sorter);
      const place = make("div", column.kind === "state" ? "state" : "", "", { role: "gridcell" });
      const opener = button("", () => this.openFilter(column, opener), "filter");
      const lift = button("×", () => this.lift(column), "lift");
      place.append(opener, lift);
      filters.append(place);
      this.filterButtons.set(column.name, { opener, lift });
    }
    this.heads.replaceChildren(head, filters);
    this.rows.replaceChildren();
    this.page = null;
  }

  // --- what Python says ---

  hear(message) {
    if (message.kind === "refused") this.menu?.refuse?.(message);
    if (message.view !== this.id) return;
    if (message.kind === "page") this.take(message);
    if (message.kind === "choices") this.menu?.choices?.(message);
    if (message.kind === "pasted") this.menu?.pasted?.(message);
  }

  take(page) {
    if (page.request < this.request && page.order === this.page?.order) return; // a newer window is on its way
    this.askedAt = 0;
    this.root.classList.remove("waiting");
    if (this.page && page.order !== this.page.order) {
      this.at.row = Math.min(this.at.row, 0);
      this.anchor = 0;
      if (page.start === 0) this.port.scrollTop = 0;
    }
    const first = !this.page;
    this.page = page;
    this.paint();
    if (first) this.send({ do: "survey" });
    this.menu?.again?.();
  }

  refresh(news) {
    if (!news || news.order !== this.page?.order) return;
    const { at, cells } = news;
    const column = this.columns.findIndex(({ kind }) => kind === "state");
    at.forEach((row, index) => {
      const place = row - this.page.start;
      if (column < 0 || !(place in this.page.marks)) return;
      this.page.cells[column][place] = cells[index];
      const cell = this.rows.children[place].children[column + 1];
      const again = cell.classList.contains("fresh");
      this.fillState(cell, cells[index]);
      cell.classList.add(again ? "fresher" : "fresh"); // another name starts the fade anew without a forced layout
    });
  }

  tell() {
    const status = this.status;
    if (!("order" in status)) return;
    const { total, shown, selected, hidden } = status;
    this.port.setAttribute("aria-rowcount", shown + 2);
    this.body.style.height = `${Math.min(shown * ROW, TALLEST)}px`;
    this.sayLine(status);
    this.note.replaceChildren();
    if (status.note) this.note.append(status.note);
    this.sayAlarm(status.trouble, status);
    if (document.activeElement !== this.search) this.search.value = status.search;
    this.search.classList.toggle("set", Boolean(status.search));
    this.allBox.className = `box ${status.allShown ? "on" : selected > hidden ? "part" : ""}`;
    this.allBox.setAttribute("aria-label", status.allShown ? "Select nothing" : "Select all filtered");
    this.clearButton.disabled = !selected;
    this.actButton.hidden = !status.act;
    this.actButton.disabled = !selected;
    this.actButton.textContent = selected ? `${status.act} ${count(selected)}` : status.act;
    this.actButton.title = selected ? "" : "Nothing is selected yet";
    for (const column of this.columns) this.sayColumn(column, status);
    this.sayEmpty(status);
    this.sayFoot();
    this.speak(`${count(selected)} selected${hidden ? `, ${count(hidden)} hidden by the filter` : ""}. ${count(shown)} of ${count(total)} shown.`);
  }

  sayLine({ selected, hidden, shown, total, barred, spot }) {
    this.line.replaceChildren(make("b", "", selected ? `${count(selected)} selected` : "Nothing selected"));
    if (spot) {
      this.line.append(` · ${count(shown)} of ${count(total)} shown: `, make("span", "spot", spot), " · ");
      this.line.append(button("Back to the filter", () => this.send({ do: "again" }), "link"));
      return;
    }
    if (hidden) {
      this.line.append(", ", button(`${count(hidden)} hidden by the filter`, () => this.send({ do: "hidden" }), "link hidden"));
    }
    this.line.append(` · ${count(shown)} of ${count(total)} shown`);
    if (barred) this.line.append(` · ${count(barred)} can’t be selected, each with its reason`);
  }

  sayAlarm(words, { asOf, retry } = this.status) {
    this.alarm.replaceChildren();
    if (!words) return;
    const text = make("p");
    text.append(icon("lost"), make("b", "", words));
    this.alarm.append(text);
    if (asOf) this.alarm.append(make("p", "", `What you see is from ${asOf}.`));
    if (retry) this.alarm.append(button("Try again", () => this.send({ do: "retry" })));
  }

  sayColumn({ name, label, kind }, { filters, orders, distinct }) {
    const order = orders.findIndex(([column]) => column === name);
    const sorter = this.sorters.get(name);
    const descending = order >= 0 && orders[order][1];
    sorter.textContent = label + (order < 0 ? "" : `${descending ? " ▾" : " ▴"}${orders.length > 1 ? order + 1 : ""}`);
    sorter.parentNode.setAttribute("aria-sort", order < 0 ? "none" : descending ? "descending" : "ascending");
    const { opener, lift } = this.filterButtons.get(name);
    const set = filters[name];
    const idle = kind === "text" ? "contains…" : distinct[name] ? `any of ${count(distinct[name])}` : "any";
    opener.textContent = set ? set.words : idle;
    opener.classList.toggle("set", Boolean(set));
    opener.setAttribute("aria-label", set ? `Filter ${label}: ${set.words}` : `Filter ${label}`);
    lift.hidden = !set;
    lift.setAttribute("aria-label", `Lift the filter ${label}`);
  }

  sayEmpty({ shown, total, ways, filters, search, spot }) {
    this.empty.replaceChildren();
    this.empty.hidden = shown > 0;
    if (shown) return;
    if (!total) {
      this.empty.append(make("p", "", "There are no devices yet."));
      return;
    }
    const words = make("p", "", spot ? "None of these devices is listed." : "No device matches ");
    if (!spot) {
      const parts = this.columns.filter(({ name }) => filters[name]).map(({ name, label }) => `${label} ${filters[name].words}`);
      if (search) parts.push(`“${search}”`);
      parts.forEach((part, index) => words.append(index ? " and " : "", make("b", "", part)));
      words.append(".");
    }
    const outs = make("div", "buttons");
    for (const { column, label, devices } of ways) {
      const what = column === "*" ? "Clear all filters" : column ? `Clear the ${label} filter` : "Clear the search";
      outs.append(button(`${what} (${count(devices)} match)`, () => this.send({ do: "lift", column })));
    }
    if (spot) outs.append(button("Back to the filter", () => this.send({ do: "again" })));
    this.empty.append(words, outs);
  }

  sayFoot() {
    const { shown, total, asOf, live, stale } = this.status;
    const top = this.topRow();
    const last = Math.min(shown, top + this.visible());
    this.where.textContent = shown ? `Rows ${count(Math.floor(top) + 1)}–${count(Math.floor(last))} of ${count(shown)}` : "No rows";
    if (!this.page) this.where.textContent = `Reading ${count(total)} devices…`;
    this.when.replaceChildren();
    const words = [asOf && `as of ${asOf}`, live && "live"].filter(Boolean).join(" · ");
    this.when.append(words);
    if (stale) {
      this.when.append(words ? " · " : "", "states changed since · ", button("Filter and sort again", () => this.send({ do: "again" }), "link"));
    }
  }

  // Polite: the newest words, at most every ten seconds.
  speak(words) {
    this.toSay = words;
    if (this.speaking) return;
    this.speaking = setTimeout(() => {
      this.speaking = 0;
      this.spokenAt = performance.now();
      this.spoken.textContent = this.toSay;
    }, Math.max(0, this.spokenAt && this.spokenAt + ANNOUNCE - performance.now()));
  }

  // --- the window of rows ---

  visible() {
    return Math.max(1, (this.port.clientHeight - this.heads.offsetHeight) / ROW);
  }

  // How many pixels of rows one pixel of scrolling means; more than 1 only for fleets taller than browsers allow.
  scale() {
    const whole = this.status.shown * ROW;
    const room = this.port.clientHeight - this.heads.offsetHeight;
    return whole > TALLEST ? (whole - room) / (TALLEST - room) : 1;
  }

  topRow() {
    return (this.port.scrollTop * this.scale()) / ROW;
  }

  scrolled() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.ask();
      this.sayFoot();
    });
  }

  ask() {
    const start = Math.max(0, Math.floor(this.topRow()) - SPARE);
    const size = Math.ceil(this.visible()) + 1 + 2 * SPARE;
    if (this.scale() > 1 && this.page) this.place();
    this.request += 1;
    this.askedAt ||= performance.now();
    this.send({ do: "page", view: this.id, start, size, request: this.request });
  }

  // Grey rows after 150 ms, a word on the kernel after five seconds.
  wonder() {
    const waited = this.askedAt ? performance.now() - this.askedAt : 0;
    this.root.classList.toggle("waiting", waited > PATIENCE);
    if (waited > PATIENCE) this.when.textContent = "The kernel is busy; what you see may be old.";
  }

  place() {
    const { start } = this.page;
    const shift = this.scale() > 1 ? this.port.scrollTop - (this.topRow() - start) * ROW : start * ROW;
    this.rows.style.transform = `translateY(${shift}px)`;
  }

  paint() {
    const { start, marks } = this.page;
    const had = this.port.contains(document.activeElement) && !this.heads.contains(document.activeElement);
    while (this.rows.children.length < marks.length) this.rows.append(this.makeRow());
    while (this.rows.children.length > marks.length) this.rows.lastChild.remove();
    this.place();
    marks.forEach((mark, place) => this.fill(this.rows.children[place], place, start + place, mark));
    this.rove(had);
    this.sayFoot();
  }

  makeRow() {
    const row = make("div", "row device", "", { role: "row" });
    const box = make("div", "mark", "", { role: "gridcell" });
    box.append(make("span", "box"));
    row.append(box);
    for (const { kind, name } of this.columns) {
      const cell = make("div", name === "serial" ? "mono" : kind, "", { role: "gridcell" });
      if (kind !== "state") cell.append(make("bdi"));
      row.append(cell);
    }
    return row;
  }

  fill(row, place, at, mark) {
    const picked = Boolean(mark & PICKED);
    const barred = Boolean(mark & BARRED);
    row.dataset.at = at;
    row.className = `row device${picked ? " picked" : ""}${barred ? " barred" : ""}`;
    row.setAttribute("aria-rowindex", at + 3);
    row.setAttribute("aria-selected", String(picked));
    if (barred) row.setAttribute("aria-disabled", "true");
    else row.removeAttribute("aria-disabled");
    const sign = row.firstElementChild;
    if (barred !== Boolean(sign.querySelector("svg"))) sign.replaceChildren(barred ? icon("barred") : make("span", "box"));
    if (!barred) sign.firstElementChild.className = picked ? "box on" : "box";
    this.columns.forEach(({ kind }, index) => {
      const cell = row.children[index + 1];
      const value = this.page.cells[index][place];
      if (kind === "state") return this.fillState(cell, value);
      const [text, whole] = Array.isArray(value) ? value : [value, ""];
      if (cell.firstChild.textContent !== text) cell.firstChild.textContent = text;
      cell.title = whole;
    });
  }

  fillState(cell, [state, detail, flags]) {
    const key = `${state}\u0000${detail}\u0000${flags}`;
    if (cell.dataset.key === key) return;
    cell.dataset.key = key;
    cell.className = "state";
    cell.replaceChildren();
    if (!state) return;
    const [label, group] = this.model.get("words")[state];
    cell.classList.add(`g-${group}`);
    const chip = make("span", `chip g-${group}`);
    chip.append(icon(group, "", state), label);
    const beside = state === "barred";
    if (detail && !beside) chip.append(make("i", "", detail));
    cell.append(chip);
    if (detail && beside) cell.append(make("span", "reason", detail));
    for (const [bit, shape, word] of [[ARMED, "bolt", "armed"], [REGRESSED, "back", "regressed"], [DECLARED, "pennant", "by declaration"]]) {
      if (!(flags & bit)) continue;
      const flag = make("span", bit === DECLARED ? "flag plain" : "flag g-attention", "", { title: word });
      flag.append(icon(shape), make("span", "spoken", word));
      cell.append(flag);
    }
    cell.title = [label, detail].filter(Boolean).join(": ");
  }

  // What an ellipsis cuts stands whole in the tooltip.
  hovered(target) {
    const cell = target.closest(".device > div");
    const text = cell?.querySelector("bdi");
    if (text && !cell.title && cell.scrollWidth > cell.clientWidth) cell.title = text.textContent;
  }

  // --- moving and picking ---

  cellAt({ row, column }) {
    if (row === HEAD) return this.heads.firstChild.children[column]?.querySelector("button");
    if (row === FILTERS) return this.heads.lastChild.children[column]?.querySelector("button");
    return this.page && this.rows.children[row - this.page.start]?.children[column];
  }

  // One Tab stop: the cell people are at, or the grid itself while that cell is out of sight.
  rove(focus) {
    for (const node of this.port.querySelectorAll('[tabindex="0"], .heads button')) node.tabIndex = -1;
    const cell = this.cellAt(this.at);
    (cell ?? this.port).tabIndex = 0;
    if (!cell) this.port.tabIndex = 0;
    else this.port.tabIndex = -1;
    if (focus) (cell ?? this.port).focus({ preventScroll: true });
  }

  focused(target) {
    const cell = target.closest('[role="gridcell"], [role="columnheader"]');
    if (!cell) return;
    const row = cell.parentNode;
    const at = row.dataset.at ?? (row.classList.contains("head") ? HEAD : FILTERS);
    this.at = { row: Number(at), column: [...row.children].indexOf(cell) };
  }

  goTo(row, column) {
    const { shown } = this.status;
    this.at = {
      row: Math.max(HEAD, Math.min(shown - 1, row)),
      column: Math.max(row === FILTERS ? 1 : 0, Math.min(this.columns.length, column)),
    };
    if (this.at.row >= 0) this.reveal(this.at.row);
    this.rove(true);
    const cell = this.cellAt(this.at);
    if (cell) this.revealColumn(cell);
  }

  reveal(row) {
    const top = this.topRow();
    const room = Math.floor(this.visible());
    let wanted = top;
    if (row < top) wanted = row;
    else if (row > top + room - 1) wanted = row - room + 1;
    if (wanted !== top) this.port.scrollTop = (wanted * ROW) / this.scale();
  }

  revealColumn(cell) {
    const box = cell.getBoundingClientRect();
    const port = this.port.getBoundingClientRect();
    if (box.right > port.right) this.port.scrollLeft += box.right - port.right + 16;
    else if (this.at.column > 1) this.port.scrollLeft -= Math.max(0, this.rows.children[0].children[1].getBoundingClientRect().right - box.left);
  }

  clicked(event) {
    const row = event.target.closest(".device");
    if (!row || String(getSelection()).length) return; // people copy text, too
    const at = Number(row.dataset.at);
    const cell = event.target.closest(".device > div");
    this.at = { row: at, column: cell ? [...row.children].indexOf(cell) : 0 };
    this.rove(true);
    if (event.shiftKey) this.extend(this.anchor, at);
    else this.toggle(at);
  }

  toggle(at) {
    this.anchor = at;
    this.send({ do: "toggle", at, order: this.page.order });
  }

  extend(start, at) {
    this.send({ do: "range", start, at, order: this.page.order });
  }

  key(event) {
    const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
    const command = ctrlKey || metaKey;
    if (!command && !altKey) event.stopPropagation(); // Lab's command mode would eat a, Space and the arrows
    if (key === "Escape") return this.escape(event);
    if (event.target === this.search && key === "ArrowDown") return this.done(event, () => this.goTo(0, 0));
    if (!this.port.contains(event.target)) return;
    if (command && key.toLowerCase() === "a") return this.done(event, () => this.send({ do: "all" }));
    if (command || altKey) {
      if (key === "Home" || key === "End") this.done(event, () => this.goTo(key === "Home" ? 0 : Infinity, this.at.column));
      return;
    }
    if (key === "/") return this.done(event, () => this.search.focus());
    const { row, column } = this.at;
    if (key === " " && row >= 0) return this.done(event, () => (shiftKey ? this.extend(this.anchor, row) : this.toggle(row)));
    if (key === "Delete" && row === FILTERS) return this.done(event, () => this.lift(this.columns[column - 1]));
    const page = Math.max(1, Math.floor(this.visible()) - 1);
    const moves = {
      ArrowDown: [row + 1, column], ArrowUp: [row - 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      PageDown: [Math.max(row, 0) + page, column], PageUp: [Math.max(row - page, 0), column], Home: [0, column], End: [Infinity, column],
    };
    if (!moves[key]) return;
    this.done(event, () => {
      const from = row;
      this.goTo(...moves[key]);
      if (shiftKey && from >= 0 && this.at.row >= 0 && this.at.row !== from) {
        if (!this.extending) this.anchor = from;
        this.extending = true;
        this.extend(this.anchor, this.at.row);
      } else this.extending = false;
    });
  }

  done(event, act) {
    event.preventDefault();
    event.stopPropagation();
    if (!event.key.startsWith("Arrow") && !event.key.startsWith("Page")) this.extending = false;
    act();
  }

  escape(event) {
    event.stopPropagation();
    event.preventDefault();
    if (this.menu) return this.closeMenu(true);
    if (event.target !== this.search) return;
    if (this.search.value) {
      this.search.value = "";
      this.send({ do: "search", text: "" });
    } else this.goTo(Math.max(0, this.at.row), this.at.column);
  }

  later(act) {
    clearTimeout(this.debounced);
    this.debounced = setTimeout(act, DEBOUNCE);
  }

  lift({ name }) {
    this.send({ do: "filter", column: name, parts: null });
    this.filterButtons.get(name).opener.focus();
  }

  // --- menus ---

  openMenu(opener, label, width = 280) {
    this.closeMenu(false);
    const box = make("div", "menu", "", { role: "dialog", "aria-label": label });
    box.style.width = `${width}px`;
    const place = opener.getBoundingClientRect();
    const root = this.root.getBoundingClientRect();
    box.style.top = `${place.bottom - root.top + 4}px`;
    box.style.left = `${Math.max(8, Math.min(place.left - root.left, root.width - width - 8))}px`;
    box.style.maxHeight = `${Math.max(160, root.bottom - place.bottom - 16)}px`;
    this.root.append(box);
    opener.setAttribute("aria-expanded", "true");
    this.menu = { box, opener };
    return box;
  }

  closeMenu(back) {
    if (!this.menu) return;
    const { box, opener } = this.menu;
    this.menu = null;
    opener.setAttribute("aria-expanded", "false");
    box.remove();
    if (back) opener.focus();
  }

  left(event) {
    const to = event.relatedTarget;
    if (this.menu && to && !this.menu.box.contains(to) && to !== this.menu.opener) this.closeMenu(false);
  }

  openFilter(column, opener) {
    if (this.menu?.opener === opener) return this.closeMenu(true);
    const box = this.openMenu(opener, `Filter ${column.label}`);
    const parts = this.status.filters[column.name]?.parts ?? {};
    const fault = make("p", "fault", "", { role: "alert" });
    const apply = (wanted) => {
      fault.textContent = "";
      this.send({ do: "filter", column: column.name, parts: wanted });
    };
    this.menu.refuse = ({ column: name, words }) => name === column.name && (fault.textContent = words);
    if (["choice", "flag", "state"].includes(column.kind)) this.fillChoices(box, column, parts, apply);
    else if (column.kind === "text") this.fillText(box, parts, apply);
    else this.fillRange(box, column, parts, apply);
    box.append(fault);
    const ends = make("div", "buttons");
    const lift = button("Lift this filter", () => {
      apply(null);
      this.closeMenu(true);
    });
    ends.append(lift, button("Done", () => this.closeMenu(true), "solid"));
    box.append(ends);
    box.querySelector("input")?.focus();
  }

  fillText(box, parts, apply) {
    const input = make("input", "", "", { type: "text", "aria-label": "Text", placeholder: "Text" });
    input.value = parts.text ?? "";
    const whole = make("input", "", "", { type: "checkbox" });
    whole.checked = parts.whole ?? false;
    const label = make("label", "option");
    label.append(whole, make("span", "", "the whole text, not a part of it"));
    const act = () => apply({ text: input.value, whole: whole.checked });
    input.addEventListener("input", () => this.later(act));
    whole.addEventListener("change", act);
    input.addEventListener("keydown", (event) => event.key === "Enter" && this.closeMenu(true));
    box.append(input, label);
  }

  fillRange(box, { kind, name }, parts, apply) {
    const [first, last] = kind === "moment" ? ["since", "until"] : ["least", "most"];
    const type = { moment: "date", number: "text", version: "text" }[kind];
    const inputs = [first, last].map((end, index) => {
      const label = make("label", "end", kind === "moment" ? ["Since (UTC)", "Until (UTC)"][index] : ["From", "To"][index]);
      const input = make("input", "", "", { type, inputmode: kind === "moment" ? "none" : "decimal" });
      input.value = parts[end] ?? "";
      input.addEventListener("input", () => this.later(() => apply({ [first]: inputs[0].value, [last]: inputs[1].value })));
      input.addEventListener("keydown", (event) => event.key === "Enter" && this.closeMenu(true));
      label.append(input);
      return [label, input];
    }).map(([label, input]) => (box.append(label), input));
    if (kind !== "version") return;
    const list = make("datalist");
    list.id = `versions-${this.id}`;
    for (const input of inputs) input.setAttribute("list", list.id);
    this.menu.choices = ({ column, choices }) => {
      if (column === name) list.replaceChildren(...choices.map(([value, , devices]) => make("option", "", `${count(devices)} devices`, { value })));
    };
    box.append(list);
    this.send({ do: "choices", column: name, text: "", view: this.id });
  }

  fillChoices(box, { name, kind }, parts, apply) {
    const chosen = new Set(parts.values ?? []);
    const find = make("input", "", "", { type: "search", placeholder: "Find a value", "aria-label": "Find a value" });
    const list = make("div", "choices", "", { role: "group" });
    const more = make("p", "note");
    const ask = () => this.send({ do: "choices", column: name, text: find.value, view: this.id });
    find.addEventListener("input", () => this.later(ask));
    this.menu.again = () => this.later(ask);
    this.menu.choices = (message) => {
      if (message.column !== name) return;
      const focused = list.contains(document.activeElement) ? document.activeElement.dataset.value : null;
      list.replaceChildren(...message.choices.map(([value, label, devices]) => {
        const line = make("label", "option");
        const box = make("input", "", "", { type: "checkbox" });
        box.checked = chosen.has(value);
        box.dataset.value = String(value);
        box.addEventListener("change", () => {
          if (box.checked) chosen.add(value);
          else chosen.delete(value);
          apply({ values: [...chosen] });
        });
        line.append(box);
        const group = kind === "state" && value && this.model.get("words")[value][1];
        if (group) {
          const sign = make("span", `g-${group} sign`);
          sign.append(icon(group, "", value));
          line.append(sign);
        }
        line.append(make("bdi", "", label), make("b", "", count(devices)));
        return line;
      }));
      more.textContent = message.more ? `${count(message.more)} more: type to find them` : message.choices.length ? "" : "No such value";
      find.hidden = !find.value && message.choices.length < 9;
      if (focused !== null) [...list.querySelectorAll("input")].find((box) => box.dataset.value === focused)?.focus();
      else if (find.hidden && !list.contains(document.activeElement)) list.querySelector("input")?.focus();
    };
    list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const boxes = [...list.querySelectorAll("input")];
      boxes[boxes.indexOf(document.activeElement) + step]?.focus();
    });
    find.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown") return;
      event.preventDefault();
      list.querySelector("input")?.focus();
    });
    box.append(find, list, more);
    ask();
  }

  openPaste(opener) {
    if (this.menu?.opener === opener) return this.closeMenu(true);
    const box = this.openMenu(opener, "Paste serials", 360);
    const text = make("textarea", "mono", "", { "aria-label": "Serials, UDIDs or enrollment IDs", placeholder: "Serials, UDIDs or enrollment IDs,\none per line or separated by commas", rows: 6 });
    const answer = make("p", "note", "", { role: "status" });
    const select = button("Select these", () => this.send({ do: "paste", text: text.value, view: this.id }), "solid");
    const ends = make("div", "buttons");
    ends.append(button("Close", () => this.closeMenu(true)), select);
    this.menu.pasted = ({ words, whole }) => {
      answer.textContent = words;
      answer.classList.toggle("fault", !whole);
    };
    box.append(text, answer, ends);
    text.focus();
  }
}

export default {
  render({ model, el }) {
    const view = new GridView(model, el);
    return () => view.end();
  },
};
