// The confirmation. Every click carries this display's nonce, the last one also the stamp of what it was armed for;
// the kernel asks both again, so that the look of a button protects nothing by itself.

function render({ model, el: host }) {
  const root = frame(host, "confirm", "Confirm and issue");
  const tell = announcer(root);
  const nonce = nonceOf();
  const send = (message) => model.send({ ...message, nonce });

  const body = el("div", { class: "card" });
  const about = el("div", { class: "about" });
  const typed = el("input", { type: "text", inputMode: "numeric", autocomplete: "off", id: `osk-${nonce}`, "aria-describedby": `osk-${nonce}-h` });
  typed.addEventListener("input", () => send({ kind: "typed", text: typed.value }));
  const typing = el("div", { class: "typing" }, el("label", { htmlFor: typed.id }, "Type the number of devices that restart by force"), typed);
  const hint = el("p", { class: "asof", id: `osk-${nonce}-h` });
  const steps = el("ol", { class: "steps", "aria-label": "Steps" });
  const title = el("h3");
  const outcome = el("div", { class: "outcome" });
  const back = el("button", { class: "quiet", onclick: () => send({ kind: "back" }) }, "Disarm");
  const next = el("button", { onclick: () => send({ kind: "read" }) }, "I have read this");
  const issue = el("button", { class: "danger", onclick: () => send({ kind: "issue", stamp: model.get("stand").stamp }) });
  const acts = el("div", { class: "act" }, typing, el("div", { class: "buttons" }, back, next, issue));
  body.append(el("header", {}, el("div", {}, title), steps), about, outcome, acts, hint);
  root.append(body);

  /** Armed by clicks in another display of the same widget, it is not armed in this one. */
  const mine = () => model.get("stand").nonce === nonce;
  const stage = () => {
    const { stage } = model.get("stand");
    return (stage === "armed" || stage === "type") && !mine() ? "read" : stage;
  };

  function heading(view) {
    if (!view.count) return "Nothing to issue";
    if (!view.by_declaration) return `Issue ScheduleOSUpdate to ${devices(view.count)}`;
    if (!view.by_command) return `Declare the update to ${devices(view.count)}`;
    return `Issue ScheduleOSUpdate to ${devices(view.by_command)}, declare the update to ${count(view.by_declaration)}`;
  }

  function drawAbout() {
    const view = model.get("view");
    const plain = view.by_command - view.forced;
    title.textContent = heading(view);
    swap(
      about,
      view.name
        ? el("p", { class: "asof" }, name(view.name), " · target ", el("b", {}, view.target), " · ends ", el("b", {}, view.deadline), ` · up to ${view.tries} tries per step`)
        : el("p", { class: "asof" }, "There is no plan yet. Complete the plan's fields; its preview makes the draft that is confirmed here."),
      view.lines?.length
        ? el("div", { class: "scroll" }, el("table", {},
            el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Platform"), el("th", { scope: "col", class: "n" }, "Devices"), el("th", { scope: "col" }, "Action"),
              el("th", { scope: "col" }, view.by_declaration ? "Window or deadline, device-local" : "Window, device-local"), el("th", { scope: "col" }, "What people will notice"))),
            el("tbody", {}, view.lines.map((line) =>
              el("tr", { class: line.forced ? "forced g-lost" : "" }, el("td", {}, el("b", {}, line.platform)), el("td", { class: "n" }, count(line.devices)),
                el("td", { class: "action" }, line.action), el("td", {}, line.window), el("td", { class: "noticed" }, line.noticed))))))
        : null,
      view.selected
        ? el("p", { class: "sum" }, el("b", {}, count(view.selected)), " selected = ", el("b", {}, count(plain)), " by command",
            view.forced ? [" + ", el("b", {}, count(view.forced)), " by command with force"] : null, " + ", el("b", {}, count(view.by_declaration)), " by declaration + ",
            el("b", {}, count(view.barred)), " barred", view.unknown ? [" + ", el("b", {}, count(view.unknown)), " not known well enough"] : "")
        : null,
      view.waves?.length ? el("p", { class: "asof" }, "In waves: ", view.waves.map((wave, place) => [place ? " · " : "", wave])) : null,
      el("ul", { class: "notes" },
        view.hidden ? note("attention", el("b", {}, `${count(view.hidden)} selected ${view.hidden === 1 ? "device is" : "devices are"} hidden by the filter`),
          view.hidden_by ? [" “", name(view.hidden_by), "”"] : "", ". They will be updated, too. ",
          el("button", { class: "link", "data-key": "hidden", onclick: () => send({ kind: "show", which: "hidden" }) }, "Show them")) : null,
        view.stale ? note("attention", el("b", {}, `${count(view.stale)} ${view.stale === 1 ? "inventory is" : "inventories are"} older than ${view.stale_days} days`),
          "; free space and version may have changed. ",
          el("button", { class: "link", "data-key": "stale", onclick: () => send({ kind: "show", which: "stale" }) }, "Show them")) : null,
        view.another ? note("attention", el("b", {}, "A second person has to approve."), " Until then nothing is sent: so many devices need two.") : null,
        view.by_declaration ? note("attention", el("b", {}, `${devices(view.by_declaration)} by declaration:`),
          ` each installs by ${view.declared_by}, whatever happens to us: without this kit, the server, or the network.`,
          " It can be taken back: pause, halt, hold and cancel do, for each device that connects before its deadline.") : null,
        view.no_way_back ? note("attention", view.no_way_back,
          view.leaving ? [" ", el("b", {}, `${devices(view.leaving)} leave${view.leaving === 1 ? "s" : ""} the major version.`)] : "") : null,
        view.unmatched ? note("attention", `${count(view.unmatched)} names of the list match no device.`) : null,
        view.forced ? note("lost", el("b", {}, `${devices(view.forced)} restart by force.`), " Unsaved work is lost. This can’t be taken back once a device has it.") : null),
    );
    drawStand();
  }

  function drawStand() {
    const view = model.get("view");
    const stand = model.get("stand");
    const now = stage();
    const used = now === "issued" || now === "issuing";
    const words = view.forced ? ["Read", "Type", "Confirm"] : ["Read", "Confirm"];
    const at = used ? words.length : now === "armed" ? words.length - 1 : now === "type" ? 1 : 0;
    swap(steps, words.map((word, step) =>
      el("li", { class: step < at ? "past" : step === at ? "now" : "", "aria-current": step === at ? "step" : null }, `${step < at ? "✓ " : ""}${step + 1} ${word}`)));
    typing.hidden = !view.forced || (now !== "type" && now !== "armed");
    if (typing.hidden) typed.value = "";
    next.hidden = now !== "read";
    next.disabled = !view.count;
    back.hidden = now !== "armed" && now !== "type";
    back.textContent = now === "armed" ? "Disarm" : "Back";
    issue.hidden = used;
    issue.disabled = now !== "armed";
    issue.textContent = view.count ? `Issue to ${devices(view.count)}` : "Issue";
    acts.hidden = used;
    body.classList.toggle("armed", now === "armed");
    swap(outcome,
      stand.error && !used ? el("ul", { class: "notes" }, note("lost", el("b", {}, "Not issued. "), stand.error)) : null,
      now === "issuing" ? el("ul", { class: "notes" }, note("active", `Beginning the rollout of ${devices(view.count)}…`)) : null,
      now === "issued" ? el("ul", { class: "notes" }, note("reached", el("b", {}, `Rollout ${stand.rollout} has begun`),
        view.another ? ` and waits for another person: osupdate-kit rollout approve ${stand.rollout}. Until then nothing is sent.`
          : ` for ${devices(view.count)}. Watch it in the monitor: devices are told step by step, inside their window.`,
        " This confirmation is used up; another plan needs another one.")) : null);
    hint.textContent = used ? "" : !view.count ? (view.selected ? "No selected device can take this plan; the preview says why." : "")
      : now === "armed" ? "Armed. The next click begins the rollout."
      : now === "type" ? (typed.value ? `${typed.value.slice(0, 20)} is not ${count(view.forced)}.` : "The number arms the button.")
      : "Any change to selection or plan, and any use, disarms this step. Run All Cells can’t trigger it.";
    if (now === "issued") tell.shout(`Rollout ${stand.rollout} has begun.`);
    else if (stand.error) tell.shout(`Not issued. ${stand.error}`);
    else tell.say(hint.textContent);
  }

  const onStand = () => {
    const before = document.activeElement;
    drawStand();
    if (before === next && stage() === "type") typed.focus();
    else if (before === next && stage() === "armed") back.focus();
    else if (before === back && stage() === "read") next.focus();
  };
  model.on("change:view", drawAbout);
  model.on("change:stand", onStand);
  drawAbout();
  send({ kind: "shown" });
  return () => {
    send({ kind: "closed" });
    tell.stop();
    model.off("change:view", drawAbout);
    model.off("change:stand", onStand);
  };
}
export default { render };
