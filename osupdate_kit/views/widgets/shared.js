// What all widgets share. Text of devices passes through `el` only, which sets it as text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: on… = listener, data/aria/role = attribute, others = property. Children: nodes, texts, or lists. */
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value === true ? "" : value);
    else node[name] = value;
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const count = (number) => number.toLocaleString("en-US");
const devices = (number) => `${count(number)} ${number === 1 ? "device" : "devices"}`;

/** A share as people read it: something is never 0 %, nearly all never 100 %. */
function share(part, whole) {
  if (!whole) return "";
  const percent = (100 * part) / whole;
  if (part === 0 || part === whole) return `${percent}\u202f%`;
  if (percent < 0.1) return "<0.1\u202f%";
  if (percent > 99.9) return ">99.9\u202f%";
  return percent < 1 || percent > 99 ? `${percent.toFixed(1)}\u202f%` : `${Math.round(percent)}\u202f%`;
}

/** Text from a device, kept apart from the direction of what stands around it. */
const name = (text) => el("bdi", { class: "name", title: text }, text);

// --- signs: drawn, for fonts lack them ---

const RING = { queued: 12, listing: 24, scheduled: 36, downloading: 50, downloaded: 64, installing: 78, verifying: 92 };
const SHAPES = {
  reached: [["circle", { cx: 8, cy: 8, r: 7, class: "solid" }], ["path", { d: "M4.8 8.3 7 10.5 11.2 5.8", class: "cut" }]],
  put_off: [["path", { d: "M5.5 3v10M10.5 3v10", "stroke-width": 3 }]],
  waiting: [["circle", { cx: 8, cy: 8, r: 6 }]],
  attention: [["path", { d: "M8 1.8 15 14.2H1z", class: "solid" }], ["path", { d: "M8 6.2v3.6M8 11.6v.9", class: "cut" }]],
  lost: [
    ["rect", { x: 1.5, y: 1.5, width: 13, height: 13, rx: 2, class: "solid" }],
    ["path", { d: "M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6", class: "cut" }],
  ],
  barred: [["circle", { cx: 8, cy: 8, r: 6 }], ["path", { d: "M3.8 12.2 12.2 3.8" }]],
  armed: [["path", { d: "M9.5 1 3 9h4.2L6 15l7-8.4H8.6z", class: "solid" }]],
  regressed: [["path", { d: "M13 13V8.5a3 3 0 0 0-3-3H3.5M6.5 2.5l-3 3 3 3" }]],
};

function sign(shape, ring = 50) {
  const parts = SHAPES[shape] ?? [
    ["circle", { cx: 8, cy: 8, r: 6, class: "faint" }],
    ["circle", { cx: 8, cy: 8, r: 6, pathLength: 100, "stroke-dasharray": `${ring} 100`, transform: "rotate(-90 8 8)" }],
  ];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  for (const [tag, attributes] of parts) {
    const part = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    svg.append(part);
  }
  return svg;
}

const groupOf = (state) => LOOK.states[state]?.group ?? "waiting";
const labelOf = (state) => LOOK.states[state]?.label ?? state;
const stateSign = (state) => sign(groupOf(state), RING[state]);
const chip = (state) => el("span", { class: `chip g-${groupOf(state)}` }, stateSign(state), labelOf(state));

/** All states of a whole as one bar, in the stacking order of the charts. */
function strip(states, whole, big = false) {
  const parts = LOOK.order.filter((state) => states[state]);
  const words = parts.map((state) => `${count(states[state])} ${labelOf(state).toLowerCase()}`).join(", ");
  return el(
    "div",
    { class: `strip${big ? " big" : ""}`, role: "img", "aria-label": words || "no devices" },
    parts.map((state) =>
      el("i", {
        class: `s-${state}`,
        style: { "flex-grow": String(states[state]) },
        title: `${labelOf(state)}: ${count(states[state])} of ${count(whole)} (${share(states[state], whole)})`,
      }),
    ),
  );
}

/** "5,000 selected = 3,756 reached + …": the sum that must hold. */
function reconciliation(states, whole) {
  const groups = Object.entries(LOOK.groups)
    .map(([group, { word }]) => [group, word, LOOK.order.reduce((sum, s) => sum + (groupOf(s) === group ? (states[s] ?? 0) : 0), 0)])
    .filter(([, , number]) => number);
  return el(
    "p",
    { class: "sum" },
    el("b", {}, count(whole)),
    " selected = ",
    groups.map(([group, word, number], at) => [
      at ? " + " : "",
      el("span", { class: `term g-${group}` }, el("b", {}, count(number)), ` ${word}`),
    ]),
    groups.length ? "" : "0",
  );
}

/** Text in which `commands` are set as code. */
const prose = (text) => text.split("`").map((part, at) => (at % 2 ? el("code", { class: "mono" }, part) : part));

const note = (group, ...words) =>
  el("li", { class: `note g-${group}` }, sign(group), el("span", {}, words.map((part) => (typeof part === "string" ? prose(part) : part))));

// --- the frame of a widget ---

/** Keys belong to the widget, not to the notebook: in its command mode, letters and Space are commands. */
function frame(host, kind, label) {
  const root = el("section", { class: `osk osk-${kind}`, "aria-label": label, "data-lm-suppress-shortcuts": "true" });
  root.addEventListener("keydown", (event) => event.stopPropagation());
  host.append(root);
  return root;
}

/** Put new content in a place, and give the focus back to who had it (by data-key). */
function swap(place, ...content) {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.replaceChildren(...content.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

/** Tell screen readers, politely and at most every ten seconds; what is urgent, at once. */
function announcer(root) {
  const polite = el("p", { class: "unseen", role: "status", "aria-live": "polite" });
  const urgent = el("p", { class: "unseen", role: "alert", "aria-live": "assertive" });
  root.append(polite, urgent);
  let next = 0;
  let timer;
  let last = "";
  return {
    say(text) {
      clearTimeout(timer);
      if (text === last) return;
      timer = setTimeout(
        () => {
          polite.textContent = last = text;
          next = Date.now() + 10_000;
        },
        Math.max(0, next - Date.now()),
      );
    },
    shout(text) {
      urgent.textContent = text;
    },
    stop: () => clearTimeout(timer),
  };
}

/** A nonce of this display: what is clicked here is known to come from here. */
const nonceOf = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
