// A rollout on the screen. Sections come from the kernel one by one, when they change; what is shown keeps its time
// when nothing comes any more.

const QUIET_SECONDS = 35; // without a beat (every 10 s) the kernel is busy or gone
const HERE_SECONDS = 30;

function render({ model, el: host }) {
  const root = frame(host, "monitor", "Rollout monitor");
  const tell = announcer(root);
  const nonce = nonceOf();
  const send = (message) => model.send({ ...message, nonce });
  const show = (part, value, title) => send({ kind: "devices", part, value, title });
  let heard = Date.now();
  let asking = null; // the act whose second step is open: {what, detail, question, button, reason}
  let minor = false; // does the story show what changed nothing?
  const raws = new Map(); // by seq: text, "" = not kept

  const place = (tag, props) => root.appendChild(el(tag, props));
  const top = place("section", { class: "card" });
  const head = top.appendChild(el("div", { class: "head" }));
  const ask = top.appendChild(el("div", { class: "ask" }));
  const figures = top.appendChild(el("div", { class: "figures" }));
  const waves = place("section", { class: "card", "aria-label": "Waves" });
  const instruments = place("section", { class: "card", "aria-label": "Instruments and deadlines" });
  const columns = place("div", { class: "cols" });
  const causes = columns.appendChild(el("section", { class: "card", "aria-label": "Failures by cause" }));
  const waits = columns.appendChild(el("section", { class: "card", "aria-label": "What it waits for" }));
  const drawer = place("section", { class: "card", "aria-label": "Devices of a part" });
  const deferrals = place("section", { class: "card", "aria-label": "Deferrals" });
  const pair = place("div", { class: "cols even" });
  const armed = pair.appendChild(el("section", { class: "card", "aria-label": "Armed" }));
  const attention = pair.appendChild(el("section", { class: "card", "aria-label": "To look at" }));
  const tale = place("section", { class: "card", "aria-label": "A device's story" });
  const past = place("section", { class: "card", "aria-label": "Acts" });

  // --- small parts ---

  const title = (text, more) => el("header", {}, el("h3", {}, text), more ? el("p", { class: "asof" }, more) : null);
  const button = (key, words, act, kind = "quiet") => el("button", { class: `${kind} small`, "data-key": key, onclick: act }, words);
  const flags = (row) => [
    row.armed ? el("span", { class: "flag" }, sign("armed"), `armed ${row.armed}`) : null,
    row.regressed ? el("span", { class: "flag" }, sign("regressed"), "regressed") : null,
  ];
  const teller = (row, key) =>
    el(
      "button",
      { class: "link who", "data-key": `${key} ${row.server} ${row.id}`, title: "Tell its story", onclick: () => send({ kind: "story", server: row.server, id: row.id }) },
      name(row.name),
    );
  const more = (total, shown) => (total > shown ? el("p", { class: "asof" }, `the first ${count(shown)} of ${count(total)}`) : null);

  // --- head, acts ---

  function drawHead() {
    const h = model.get("head");
    const trouble = model.get("trouble");
    if (!h.rollout) {
      const ghosts = ["ghost", "ghost b", "ghost c"].map((kind) => el("p", { class: kind }));
      swap(head, el("h3", {}, "Rollout"), trouble.text ? el("ul", { class: "notes" }, note("attention", el("b", {}, trouble.text), " It is tried again by itself."))
        : [ghosts, el("p", { class: "asof" }, "reading the rollout…")]);
      return;
    }
    const quiet = Date.now() - heard > QUIET_SECONDS * 1000;
    const live = !quiet && !trouble.text && !h.over;
    const stateGroup = { running: "active", paused: "waiting", halted: "attention", cancelled: "lost", ended: "barred" }[h.status] ?? "waiting";
    const offer = (what, kind) => {
      const act = h.asks[what];
      return act
        ? el("button", { class: kind, "data-key": `act ${what}`, disabled: quiet, "aria-expanded": act.question ? String(asking?.what === what) : null,
            onclick: () => (act.question ? open({ what, detail: "", ...act }) : send({ kind: "act", what })) }, act.label)
        : null;
    };
    swap(
      head,
      el("header", {},
        el("div", { class: "who-what" },
          el("h3", {}, name(h.name), " ", el("span", { class: `pill g-${stateGroup}` }, h.status[0].toUpperCase() + h.status.slice(1))),
          el("p", { class: "asof" },
            el("i", { class: live ? "live" : "live still" }),
            live ? "Live" : h.over ? "Over" : "Not live",
            h.last_event ? [" · last event ", el("b", {}, h.last_event)] : " · no event yet",
            ` · rollout ${h.rollout}, target `, el("b", {}, h.target), ", ends ", el("b", {}, h.deadline),
            h.reason ? [" · ", name(h.reason)] : "",
            h.status !== "running" && h.changed ? ` since ${h.changed}` : "")),
        el("div", { class: "buttons" }, offer("retry", "quiet"), offer("approve", ""), offer("resume", ""), offer("pause", ""), offer("cancel", "danger line"), offer("halt", "danger line"))),
      el("ul", { class: "notes" },
        trouble.text ? note("attention", el("b", {}, trouble.text), ` What you see is from ${trouble.since || "before"}; it is tried again by itself.`) : null,
        quiet ? note("attention", el("b", {}, "No word from the kernel"), ` since ${new Date(heard).toLocaleTimeString()}: it is busy or gone. What you see is from ${h.as_of}. The rollout itself goes on without it.`) : null,
        !h.served && !h.over ? note("attention", el("b", {}, "No service works on this store"), ", so nothing moves. Start one: ", el("code", { class: "mono" }, "osupdate-kit serve")) : null,
        h.asks.approve ? note("waiting", el("b", {}, "Nothing is sent"), ": its plan waits for another person than who asked for it to approve.") : null,
        model.get("asked").slice(-3).map(outcome)),
    );
  }

  function outcome(act) {
    const what = `${act.what[0]?.toUpperCase() ?? ""}${act.what.slice(1)}${act.what === "retry" && act.detail ? ` (${act.detail})` : ""}`;
    if (act.outcome === null) return note("waiting", el("b", {}, `${what} is asked for`), "; the service has not picked it up yet.");
    if (act.outcome === "done") return note("reached", el("b", {}, `${what} is done.`));
    return note("lost", el("b", {}, `${what || "This"} was not done. `), act.outcome);
  }

  function open(act) {
    asking = asking?.what === act.what && asking?.detail === act.detail ? null : act;
    drawAsk();
    drawHead();
    ask.querySelector("input, button")?.focus();
  }

  function drawAsk() {
    const h = model.get("head");
    if (asking && !asking.own && !h.asks?.[asking.what]) asking = null;
    if (!asking) return swap(ask);
    const current = asking.detail ? asking : { ...asking, ...h.asks[asking.what] };
    const kept = ask.querySelector("input")?.value ?? "";
    const why = current.reason ? el("input", { type: "text", "data-key": "why", value: kept, maxLength: 200, placeholder: "why (stays in the audit log)", "aria-label": "Why" }) : null;
    const close = () => {
      const key = asking.key ?? `act ${asking.what}`;
      asking = null;
      drawAsk();
      drawHead();
      root.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
    };
    const grave = current.what === "halt" || current.what === "cancel";
    swap(
      ask,
      el("div", { class: `sure g-${grave ? "lost" : "attention"}`, role: "group", "aria-label": "Are you sure?", onkeydown: (event) => event.key === "Escape" && close() },
        el("p", {}, current.question),
        why,
        el("div", { class: "buttons" },
          el("button", { class: grave ? "danger" : "", "data-key": "sure", onclick: () => {
            send({ kind: "act", what: current.what, detail: current.detail || why?.value.trim() || "", sure: true });
            close();
          } }, current.button),
          el("button", { class: "quiet", "data-key": "not sure", onclick: close }, "Leave it"))),
    );
  }

  // --- figures ---

  function drawCounts() {
    const c = model.get("counts");
    if (c.selected === undefined) return swap(figures);
    const states = c.states;
    swap(
      figures,
      el("div", { class: "headline" }, el("p", {}, el("b", {}, count(c.done)), ` of ${count(c.selected)} done`, el("span", { class: "percent" }, share(c.done, c.selected))), el("p", {}, c.finding)),
      strip(states, c.selected, true),
      reconciliation(states, c.selected),
      el("p", { class: "asof" }, "as of ", el("b", {}, c.as_of)),
      el("div", { class: "tiles" },
        Object.entries(LOOK.groups).map(([group, { label }]) => {
          const members = LOOK.order.filter((state) => groupOf(state) === group && states[state]);
          return el("div", { class: `tile g-${group}` },
            el("h4", {}, label),
            el("p", {}, count(members.reduce((sum, state) => sum + states[state], 0))),
            el("ul", {}, members.map((state) =>
              el("li", {}, el("button", { class: "link", "data-key": `state ${state}`, title: "Show these devices", onclick: () => show("state", state, labelOf(state)) },
                stateSign(state), el("span", {}, labelOf(state))), el("b", {}, count(states[state]))))));
        })),
      c.barred.length
        ? el("details", { class: "barred", open: figures.querySelector("details")?.open },
            el("summary", { "data-key": "barred" }, `Why ${devices(states.barred ?? 0)} ${states.barred === 1 ? "is" : "are"} barred`),
            el("ul", {}, c.barred.map((row) => el("li", {}, el("button", { class: "link", "data-key": `barrier ${row.words}`, onclick: () => show("barrier", row.words, `Barred: ${row.words}`) },
              el("b", {}, count(row.devices)), ` ${row.words}`)))))
        : null,
    );
    tell.say(`${count(c.done)} of ${devices(c.selected)} done. ${c.finding}`);
  }

  function drawWaves() {
    const { rows = [], halts = [] } = model.get("waves");
    waves.hidden = !rows.length && !halts.length;
    const own = (row, what, detail) => button(`${what} ${detail}`, row.ask.label, () => open({ what, detail, ...row.ask, own: true, key: `${what} ${detail}` }));
    swap(waves, halts.map((halt) => note("lost", el("b", {}, "Halted: "), halt.reason, el("small", {}, ` since ${halt.since} `), own(halt, "lift", String(halt.number)))),
      rows.length ? title("Waves") : null, rows.map((row) => {
      const whole = Object.values(row.states).reduce((sum, number) => sum + number, 0);
      return el("div", { class: "lane" }, el("button", { class: "link who", "data-key": `wave ${row.wave}`, onclick: () => show("wave", row.wave, `Wave ${row.wave}`) }, name(row.wave)),
        el("small", {}, devices(whole)), strip(row.states, whole), el("span", { class: "tally" }, `${count(row.states.done ?? 0)} done, ${share(row.states.done ?? 0, whole)}`),
        row.standing ? el("p", { class: "standing" }, row.standing, row.ask ? own(row, "open", row.wave) : null) : null);
    }));
  }

  // --- the two instruments ---

  function drawInstruments() {
    const { rows = [], deadlines = [], declared = 0, over = 0, next = "" } = model.get("instruments");
    instruments.hidden = !rows.length;
    if (instruments.hidden) return swap(instruments);
    const due = deadlines.reduce((sum, row) => sum + row.devices, 0);
    swap(
      instruments,
      title(`By declaration: ${count(declared)}`, "each installs by its own deadline, whatever happens to us"),
      rows.map((row) => {
        const whole = Object.values(row.states).reduce((sum, number) => sum + number, 0);
        return el("div", { class: "lane" }, el("button", { class: "link who", "data-key": `route ${row.route}`, onclick: () => show("route", row.route, row.words) }, row.words),
          el("small", {}, devices(whole)), strip(row.states, whole), el("span", { class: "tally" }, `${count(row.states.done ?? 0)} done, ${share(row.states.done ?? 0, whole)}`));
      }),
      el("h4", { class: "under" }, "Deadlines of declarations"),
      el("ul", { class: "dues" }, deadlines.map((row) =>
        el("li", { class: row.due === "overdue" ? "g-attention" : "" }, el("button", { class: "link", "data-key": `due ${row.due}`, title: "Show these devices", onclick: () => show("due", row.due, `By declaration, ${row.words}`) },
          el("b", {}, count(row.devices)), ` ${row.words}`)))),
      el("p", { class: "sum" }, el("b", {}, count(declared)), " by declaration = ", deadlines.map((row) => [el("b", {}, count(row.devices)), ` ${row.due} + `]), el("b", {}, count(over)), " at an end"),
      el("p", { class: "asof" }, next ? ["next deadline ", el("b", {}, next)] : due ? "no deadline is to come" : ""),
    );
  }

  // --- failures, waits, deferrals ---

  function drawCauses() {
    const { rows } = model.get("causes");
    if (!rows) return swap(causes, title("Failed or expired"), el("p", { class: "ghost" }));
    const whole = rows.reduce((sum, row) => sum + row.devices, 0);
    const most = rows[0]?.devices ?? 1;
    const can = model.get("head").asks?.retry;
    swap(
      causes,
      title(`Failed or expired: ${count(whole)}`, whole ? "each device once, by its last cause" : null),
      whole
        ? el("ul", { class: "causes" }, rows.map((row) =>
            el("li", {},
              el("div", { class: "cause" }, el("b", {}, row.words), el("i", { class: "hbar", style: { width: `${(100 * row.devices) / most}%` } })),
              el("b", { class: "n" }, count(row.devices)),
              el("div", { class: "remedy" }, prose(row.remedy || "The deadline passed before they got there."), row.text ? el("small", {}, el("bdi", {}, row.text)) : null,
                el("small", {}, row.retry ? "a retry may help" : "a retry alone does not help")),
              el("div", { class: "buttons" },
                button(`cause ${row.cause}`, "Show devices", () => show("cause", row.cause, row.words)),
                row.retry && can ? button(`retry ${row.cause}`, "Retry…", () => open({ what: "retry", detail: row.cause, question: row.retry, button: `Retry ${devices(row.devices)}`, key: `retry ${row.cause}` })) : null))))
        : el("p", { class: "empty" }, "No device has failed."),
    );
  }

  function drawWaits() {
    const { rows } = model.get("waits");
    swap(
      waits,
      title("What it waits for"),
      !rows ? el("p", { class: "ghost" })
      : rows.length
        ? el("ul", { class: "list" }, rows.map((row) =>
            el("li", { class: `g-${groupOf(row.state)}` }, stateSign(row.state),
              el("span", {}, el("button", { class: "link", "data-key": `wait ${row.value}`, title: "Show these devices", onclick: () => show("wait", row.value, `${labelOf(row.state)}: ${row.words}`) }, el("b", {}, devices(row.devices))), ` ${row.words}`))))
        : el("p", { class: "empty" }, "Nothing: every device reached an end or needs a person."),
    );
  }

  const pips = (row) => {
    if (row.used === null) return "";
    const whole = row.used + row.remaining;
    const words = `${row.used} of ${whole} used`;
    return whole > 10 ? words : el("span", { class: "pips", role: "img", "aria-label": words, title: words }, "●".repeat(row.used), el("i", {}, "○".repeat(row.remaining)));
  };

  function drawDeferrals() {
    const d = model.get("deferrals");
    deferrals.hidden = !d.told && !d.presumed;
    if (deferrals.hidden) return swap(deferrals);
    swap(
      deferrals,
      title(`Deferred: ${count(d.told + d.presumed)}`, `${count(d.told)} told by the device, ${count(d.presumed)} presumed · times in UTC, next installs device-local`),
      d.told
        ? [
            el("p", { class: "sum" }, el("b", {}, count(d.told)), " Macs say how often they were put off", d.exhausted ? [", ", el("b", {}, count(d.exhausted)), " of them have no deferral left"] : "",
              ". ", el("button", { class: "link", "data-key": "told", onclick: () => show("deferred", "told", "Deferred, told by the device") }, "Show devices")),
            el("div", { class: "scroll rows" }, el("table", {},
              el("thead", {}, el("tr", {}, ["Device", "Used, left", "Next install, device-local", "Last seen"].map((words) => el("th", { scope: "col" }, words)))),
              el("tbody", {}, d.rows.map((row) => el("tr", {}, el("td", {}, teller(row, "deferral")), el("td", {}, pips(row)), el("td", {}, row.next_install || "not told"), el("td", {}, row.seen)))))),
            more(d.told, d.rows.length),
          ]
        : null,
      d.presumed
        ? el("div", { class: "presumed g-put_off" }, sign("put_off"), el("p", {}, el("b", {}, `${devices(d.presumed)} presumed deferred.`),
            " They accepted the install and do not say why they wait: a person put it off, or it failed in silence. They are not sent it again. ",
            el("button", { class: "link", "data-key": "presumed", onclick: () => show("deferred", "presumed", "Presumed deferred") }, "Show devices")))
        : null,
    );
  }

  function drawArmed() {
    const a = model.get("armed");
    armed.hidden = !a.devices;
    swap(
      armed,
      title(`Armed: ${count(a.devices ?? 0)}`, "may still install because of us"),
      rowsOf(a.rows ?? [], "armed", (row) => [el("span", { class: "flag" }, sign("armed"), row.armed), row.deadline ? ` by ${deadlineOf(row)}` : ""]),
      more(a.devices, a.rows?.length ?? 0),
      el("p", {}, button("armed all", "Show devices", () => show("armed", "", "Armed"))),
    );
    pair.classList.toggle("single", armed.hidden || attention.hidden);
  }

  function drawAttention() {
    const a = model.get("attention");
    attention.hidden = !a.devices;
    swap(
      attention,
      title(`To look at: ${count(a.devices ?? 0)}`, "longest unseen first"),
      rowsOf(a.rows ?? [], "attention", (row) => row.reason),
      more(a.devices, a.rows?.length ?? 0),
      el("p", {}, button("attention all", "Show devices", () => show("group", "attention", "To look at"))),
    );
    pair.classList.toggle("single", armed.hidden || attention.hidden);
  }

  const deadlineOf = (row) => `${row.deadline} its time, ${row.left}`;
  const rowsOf = (rows, key, words) =>
    el("div", { class: "scroll rows" }, el("table", {},
      el("thead", {}, el("tr", {}, ["Device", "State", "", "Seen, UTC"].map((text, at) => el("th", { scope: "col", class: at === 3 ? "n" : "" }, text)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, el("td", {}, teller(row, key)), el("td", {}, chip(row.state)), el("td", { class: "why" }, words(row)), el("td", { class: "n" }, row.seen || "never"))))));

  function drawDrawer() {
    const d = model.get("drawer");
    drawer.hidden = !d.title;
    if (drawer.hidden) return swap(drawer);
    swap(
      drawer,
      el("header", {}, el("h3", {}, name(d.title), `: ${devices(d.devices)}`), button("close drawer", "Close", () => send({ kind: "close", what: "drawer" }))),
      d.rows.length ? rowsOf(d.rows, "drawer", (row) => [flags(row), row.deadline ? ` installs by ${deadlineOf(row)} ` : " ", el("bdi", {}, row.reason)]) : el("p", { class: "empty" }, "None any more: they have moved on since."),
      more(d.devices, d.rows.length),
    );
    drawer.scrollIntoView({ block: "nearest" });
  }

  // --- one device's story ---

  const wanted = el("input", { type: "text", placeholder: "serial, UDID or enrollment ID", "aria-label": "Whose story", autocomplete: "off", spellcheck: false });
  const finder = el("form", { class: "finder", onsubmit: (event) => {
    event.preventDefault();
    if (wanted.value.trim()) send({ kind: "story", wanted: wanted.value });
  } }, wanted, el("button", { class: "quiet", type: "submit" }, "Tell its story"));
  const storyPlace = el("div");
  tale.append(finder, storyPlace);

  function drawTale() {
    const t = model.get("tale");
    if (t.missing !== undefined) return swap(storyPlace, el("p", { class: "empty" }, "No device of this rollout is ", el("b", {}, name(t.missing)), ". Give its serial, UDID or enrollment ID in full."));
    if (!t.id) return swap(storyPlace, el("p", { class: "empty" }, "Choose a device in any list, or name one: each command, each answer, and the state it led to."));
    const lines = t.lines.filter((line) => minor || !line.minor);
    const folded = t.lines.length - t.lines.filter((line) => !line.minor).length;
    swap(
      storyPlace,
      el("header", {}, el("div", {}, el("h3", {}, name(t.name), " ", el("span", { class: "mono" }, name(t.serial))), el("p", { class: "asof" }, t.about)),
        el("div", { class: "buttons" }, flags(t), chip(t.state), button("close tale", "Close", () => send({ kind: "close", what: "tale" })))),
      t.reason ? el("p", { class: "sum" }, t.reason) : null,
      t.declaration ? el("p", { class: "sum" }, t.declaration) : null,
      el("p", { class: "asof" }, "times in UTC", t.lines.some((l) => l.local) ? ", below them device-local" : "", t.earlier ? ` · ${count(t.earlier)} earlier lines are not shown` : "",
        folded ? [" · ", el("button", { class: "link", "data-key": "minor", "aria-pressed": String(minor), onclick: () => ((minor = !minor), drawTale()) }, minor ? "Fold what changed nothing" : `Show ${count(folded)} that changed nothing`)] : ""),
      el("ol", { class: "story" }, lines.map((line) =>
        el("li", { class: `g-${groupOf(line.state)}${line.minor ? " minor" : ""}` },
          stateSign(line.state),
          el("div", {}, el("time", {}, line.at), line.local ? el("small", {}, line.local) : null),
          el("div", {}, el("b", {}, line.title), line.changed ? [" ", chip(line.state)] : null, line.detail ? el("small", {}, line.detail) : null,
            line.raw ? rawOf(line) : null)))),
    );
  }

  function rawOf(line) {
    const known = raws.get(line.seq);
    if (known === undefined) return el("button", { class: "link raw", "data-key": `raw ${line.seq}`, onclick: () => send({ kind: "raw", seq: line.seq }) }, "What it said, redacted");
    return el("details", { class: "raw", open: true }, el("summary", { "data-key": `raw ${line.seq}` }, "What it said, redacted"), known ? el("pre", { tabIndex: 0 }, known) : el("small", {}, "It is not kept any more: raw bodies have a retention."));
  }

  function drawPast() {
    const { acts = [] } = model.get("head");
    past.hidden = !acts.length;
    const open = past.querySelector("details")?.open;
    swap(past, el("details", { open }, el("summary", { "data-key": "past" }, `Acts: ${count(acts.length)}, last by `, name(acts[0]?.who ?? ""), ` (${acts[0]?.what ?? ""}, ${acts[0]?.at ?? ""} UTC)`),
      el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ["When, UTC", "Who", "What", "Devices", ""].map((words, at) => el("th", { scope: "col", class: at === 3 ? "n" : "" }, words)))),
        el("tbody", {}, acts.map((act) => el("tr", {}, el("td", {}, act.at), el("td", {}, name(act.who)), el("td", {}, act.what), el("td", { class: "n" }, count(act.count)), el("td", {}, name(act.detail)))))))));
  }

  // --- what comes in ---

  let status = "";
  const onHead = () => {
    const h = model.get("head");
    if (status && h.status !== status) tell.shout(`The rollout is ${h.status}. ${h.reason}`);
    status = h.status;
    drawHead();
    drawAsk();
    drawCauses();
    drawPast();
  };
  const onBeat = () => {
    const was = Date.now() - heard > QUIET_SECONDS * 1000;
    heard = Date.now();
    if (was) drawHead();
  };
  const onTale = () => {
    raws.clear();
    minor = false;
    drawTale();
    if (model.get("tale").id) tale.scrollIntoView({ block: "nearest" });
  };
  const onMessage = (message) => {
    if (message.kind !== "raw") return;
    raws.set(message.seq, message.text);
    drawTale();
  };
  const handlers = {
    head: onHead, trouble: drawHead, asked: drawHead, counts: drawCounts, waves: drawWaves, instruments: drawInstruments, causes: drawCauses, waits: drawWaits,
    deferrals: drawDeferrals, armed: drawArmed, attention: drawAttention, drawer: drawDrawer, tale: onTale, beat: onBeat,
  };
  const wrapped = Object.entries(handlers).map(([key, draw]) => [`change:${key}`, () => {
    if (key !== "beat") onBeat();
    draw();
  }]);
  for (const [event, draw] of wrapped) model.on(event, draw);
  model.on("msg:custom", onMessage);
  const clock = setInterval(() => {
    if (Date.now() - heard > QUIET_SECONDS * 1000) drawHead();
  }, 5_000);
  const here = setInterval(() => send({ kind: "here" }), HERE_SECONDS * 1000);
  const onSeen = () => document.visibilityState === "visible" && send({ kind: "shown" });
  document.addEventListener("visibilitychange", onSeen);

  for (const draw of [onHead, drawCounts, drawWaves, drawInstruments, drawWaits, drawDeferrals, drawArmed, drawAttention, drawDrawer, drawTale]) draw();
  send({ kind: "shown" });
  return () => {
    send({ kind: "closed" });
    clearInterval(clock);
    clearInterval(here);
    document.removeEventListener("visibilitychange", onSeen);
    tell.stop();
    for (const [event, draw] of wrapped) model.off(event, draw);
    model.off("msg:custom", onMessage);
  };
}
export default { render };
