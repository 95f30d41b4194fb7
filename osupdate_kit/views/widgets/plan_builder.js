// The form of a plan. The kernel reads what is typed and answers with sentences and figures; nothing is judged here.

function render({ model, el: host }) {
  const root = frame(host, "plan", "Build a plan");
  const tell = announcer(root);
  let timer;

  const type = (fields) => model.send({ kind: "typed", fields });
  const later = (fields) => {
    clearTimeout(timer);
    timer = setTimeout(() => type(fields), 250);
  };

  // --- fields: made once, so that nobody loses the place where he types ---

  const inputs = {};
  function field(key, label, input, hint = "") {
    const id = `osk-${nonceOf()}`;
    Object.assign(input, { id });
    input.dataset.key = key;
    const help = el("small", { id: `${id}-h` }, hint);
    const error = el("p", { class: "error", id: `${id}-e` });
    input.setAttribute("aria-describedby", `${id}-h ${id}-e`);
    inputs[key] = { input, error, help };
    return el("div", { class: "field" }, el("label", { htmlFor: id }, label), input, error, help);
  }
  const text = (key, more = {}) => {
    const input = el("input", { type: "text", autocomplete: "off", spellcheck: false, ...more });
    input.addEventListener("input", () => later({ [key]: input.value }));
    input.addEventListener("change", () => (clearTimeout(timer), type({ [key]: input.value })));
    return input;
  };
  const list = (name, values) => el("datalist", { id: name }, values.map((value) => el("option", { value })));
  const priority = el(
    "select",
    { onchange: () => type({ priority: priority.value }) },
    [["", "not set"], ["Low", "Low"], ["High", "High"]].map(([value, words]) => el("option", { value }, words)),
  );

  const form = model.get("form");
  const waves = el(
    "select",
    { onchange: () => type({ waves: waves.value }) },
    (form.waves ?? []).map(({ value, words }) => el("option", { value }, words)),
  );
  const lists = nonceOf();
  const whom = el("p", { class: "asof" });
  const actions = el("div", { class: "actions", role: "group", "aria-label": "Install action by platform" });
  const whole = el("p", { class: "error", role: "alert" });
  const preview = el("div", { class: "preview" });
  const target = text("target", { placeholder: "18.7.2" });
  const major = el(
    "select",
    { onchange: () => type({ allow_major: major.value }) },
    [["", "stay within it"], ["yes", "may leave it"]].map(([value, words]) => el("option", { value }, words)),
  );
  const weekends = el(
    "select",
    { onchange: () => type({ enforce_weekends: weekends.value }) },
    [["", "moves to Monday"], ["yes", "may be one"]].map(([value, words]) => el("option", { value }, words)),
  );
  const lines = el("div", { class: "lines" });
  const declaring = el(
    "fieldset",
    { class: "declaring", "aria-label": "Declarations" },
    el("h4", {}, "By declaration, where both ways work"),
    lines,
    el(
      "div",
      { class: "trio" },
      field("enforce_days", "Enforced after, days", text("enforce_days", { type: "number", min: 0, max: 90 }), "from a device’s assignment on"),
      field("enforce_at", "At", text("enforce_at", { type: "time" }), "device-local"),
      field("enforce_weekends", "A weekend", weekends),
    ),
    field("details_url", "Page about the update", text("details_url", { placeholder: "https://help.example.org/update" }), "optional; the device offers it to its user"),
  );
  const zone = text("time_zone", { placeholder: "Europe/Berlin" });
  target.setAttribute("list", `t${lists}`);
  zone.setAttribute("list", `z${lists}`);

  root.append(
    el(
      "div",
      { class: "card" },
      el("header", {}, el("div", {}, el("h3", {}, "Plan"), whom)),
      list(`t${lists}`, form.targets ?? []),
      list(`z${lists}`, form.zones ?? []),
      el(
        "div",
        { class: "columns" },
        el(
          "div",
          { class: "form" },
          el(
            "div",
            { class: "trio" },
            field("target", "Target version", target, "or a rule: latest-minor, latest-major, +7d, 15=15.7.2, >=18.6"),
            field("allow_major", "Major version", major, "there is no way back"),
            field("build", "Build, if it matters", text("build", { placeholder: "22H124" })),
          ),
          actions,
          declaring,
          el(
            "div",
            { class: "pair" },
            field("max_user_deferrals", "MaxUserDeferrals", text("max_user_deferrals", { inputMode: "numeric", placeholder: "none" })),
            field("priority", "Priority", priority),
          ),
          el(
            "div",
            { class: "trio" },
            field("opens", "Window opens", text("opens", { type: "time" }), "device-local"),
            field("closes", "Window closes", text("closes", { type: "time" }), "empty: any hour"),
            field("time_zone", "Time zone where unknown", zone),
          ),
          el(
            "div",
            { class: "trio" },
            field("download_opens", "Downloads from", text("download_opens", { type: "time" }), "device-local"),
            field("download_closes", "Downloads until", text("download_closes", { type: "time" }), "empty: as the window"),
            field("days", "Weekdays", text("days", { placeholder: "mon-fri" }), "empty: every day"),
          ),
          field("waves", "Waves", waves, "with a canary, more than 15 % failures halt a model, version or site"),
          el(
            "div",
            { class: "trio wide" },
            field("deadline", "Deadline, UTC", text("deadline", { type: "datetime-local" })),
            field("tries", "Tries per step", text("tries", { type: "number", min: 1 })),
            field("name", "Name", text("name", { placeholder: "optional" })),
          ),
          whole,
        ),
        preview,
      ),
    ),
  );

  // --- actions: per platform, those that Apple knows there ---

  function drawActions() {
    const { platforms = [], selected = 0 } = model.get("form");
    whom.textContent = `for ${devices(selected)} selected · nothing is sent by this form`;
    swap(
      actions,
      platforms.map((platform) => {
        const key = `actions ${platform.platform}`;
        const select = el(
          "select",
          { onchange: () => type({ actions: { [platform.platform]: select.value } }) },
          platform.choices.map((choice) =>
            el("option", { value: choice.value }, choice.words + (choice.best ? " (recommended)" : "")),
          ),
        );
        return field(key, `${platform.name}, ${devices(platform.devices)}`, select);
      }),
      platforms.length ? null : el("p", { class: "asof" }, "No selected device is of a platform that takes ScheduleOSUpdate."),
    );
    declaring.hidden = !model.get("form").declares || !platforms.length;
    swap(
      lines,
      platforms.map((platform) => {
        const select = el(
          "select",
          { onchange: () => type({ declare_since: { [platform.platform]: select.value } }) },
          platform.lines.map((line) =>
            el("option", { value: line.value }, line.words + (line.best && !line.default ? " (recommended)" : "")),
          ),
        );
        return field(`declare_since ${platform.platform}`, platform.name, select);
      }),
    );
    drawFields();
  }

  function drawFields() {
    const fields = model.get("fields");
    const errors = model.get("errors");
    const { platforms = [], why_declare = "" } = model.get("form");
    for (const [key, { input, error }] of Object.entries(inputs)) {
      if (key.startsWith("actions ") || key.startsWith("declare_since ")) continue;
      if (document.activeElement !== input && input.value !== fields[key]) input.value = fields[key] ?? "";
      error.textContent = errors[key] ?? "";
      input.setAttribute("aria-invalid", String(Boolean(errors[key])));
    }
    let later = false;
    for (const platform of platforms) {
      const { input, error, help } = inputs[`actions ${platform.platform}`];
      const best = platform.choices.find((choice) => choice.best);
      const chosen = platform.choices.find((c) => c.value === fields.actions?.[platform.platform]) ?? best;
      input.value = chosen.value;
      error.textContent = errors[`actions ${platform.platform}`] ?? "";
      const old = chosen.unknown_to ? ` ${devices(chosen.unknown_to)} cannot be asked for it, or report no version.` : "";
      help.textContent = `People notice: ${chosen.noticed}.${old}`;
      later ||= chosen.value.includes("InstallLater");
      const line = inputs[`declare_since ${platform.platform}`];
      line.input.value = fields.declare_since?.[platform.platform] ?? platform.lines.find((one) => one.default).value;
      line.error.textContent = errors[`declare_since ${platform.platform}`] ?? "";
      const wise = platform.lines[0];
      line.help.textContent = wise.default || line.input.value === wise.value ? "" : `${why_declare}.`;
    }
    const mac = platforms.some((platform) => platform.platform === "macOS");
    inputs.max_user_deferrals.input.disabled = !later && !fields.max_user_deferrals;
    inputs.max_user_deferrals.help.textContent = later ? "minor updates only, macOS 12 on" : "only with InstallLater on a Mac";
    inputs.priority.input.disabled = !mac && !fields.priority;
    inputs.priority.help.textContent = mac ? "minor updates only, macOS 12.3 on" : "Macs only";
    whole.textContent = errors[""] ?? "";
    drawPreview();
  }

  // --- preview ---

  const part = (key, group, number, words, remedy = "") =>
    el(
      "li",
      { class: `part g-${group}` },
      sign(group),
      el(
        "div",
        {},
        el(
          "button",
          { class: "link", "data-key": key, disabled: !number, title: "Show these devices", onclick: () => model.send({ kind: "show", part: key }) },
          el("b", {}, count(number)),
          ` ${words}`,
        ),
        remedy ? el("small", {}, prose(remedy)) : null,
      ),
    );

  function drawPreview() {
    const shown = model.get("preview");
    const wrong = Object.keys(model.get("errors")).length;
    const { selected = 0 } = model.get("form");
    const known = shown.selected !== undefined;
    preview.setAttribute("aria-busy", String(Boolean(shown.busy)));
    preview.classList.toggle("old", Boolean(shown.old));
    const barred = (shown.barred ?? []).reduce((sum, row) => sum + row.devices, 0);
    const unknown = (shown.unknown ?? []).reduce((sum, row) => sum + row.devices, 0);
    swap(
      preview,
      el("h4", {}, shown.busy ? `Judging ${devices(selected)}…` : wrong ? "Complete the fields to see what happens" : "What would happen"),
      shown.error ? el("ul", { class: "notes" }, note("lost", shown.error)) : null,
      !known && shown.busy ? [el("p", { class: "ghost" }), el("p", { class: "ghost b" }), el("p", { class: "ghost c" })] : null,
      known
        ? [
            el("p", { class: "figure" }, el("b", {}, count(shown.taking)), ` of ${count(shown.selected)} ${shown.by_declaration ? "take it" : "by command"}`),
            el("ul", { class: "parts" }, [
              part("command", "active", shown.by_command, "by command: ScheduleOSUpdate"),
              part("declaration", "active", shown.by_declaration, "by declaration", shown.declared_by ? `enforced by ${shown.declared_by}` : ""),
            ]),
            barred ? el("h4", {}, `${count(barred)} barred`) : null,
            el("ul", { class: "parts" }, (shown.barred ?? []).map((row) =>
              part(row.part, row.part === "already_there" ? "reached" : "barred", row.devices, row.words, row.remedy))),
            shown.waves?.length ? el("h4", {}, `${count(shown.waves.length)} waves`) : null,
            el("ul", { class: "parts" }, (shown.waves ?? []).map((row) =>
              part(row.part, "active", row.devices, `${row.wave}, opens ${row.opens}`))),
            unknown ? el("h4", {}, `${count(unknown)} not known well enough, so left out`) : null,
            el("ul", { class: "parts" }, (shown.unknown ?? []).map((row) => part(row.part, "attention", row.devices, row.words, row.remedy))),
            el("p", { class: "sum" }, el("b", {}, count(shown.selected)), " selected = ", el("b", {}, count(shown.by_command)), " by command + ",
              el("b", {}, count(shown.by_declaration)), " by declaration + ", el("b", {}, count(barred)), " barred + ", el("b", {}, count(unknown)), " unknown"),
            shown.targets?.length
              ? el("p", { class: "sum" }, "The rule comes to ", shown.targets.map(([target, number], at) => [at ? ", " : "", el("b", {}, name(target)), ` for ${count(number)}`]), ".")
              : null,
            el("ul", { class: "notes" },
              (shown.findings ?? []).map((row) =>
                note(row.kind === "blocking" ? "lost" : "attention", el("b", {}, `${devices(row.devices)}, ${row.kind}: `), `${row.words}. ${row.remedy}`)),
              (shown.hazards ?? []).map((hazard) => note(hazard.grave ? "lost" : "attention", hazard.text)),
              shown.held ? note("attention", `${devices(shown.held)} on the hold list: they wait until released.`) : null,
              shown.unmatched ? note("attention", `${count(shown.unmatched)} names of the list match no device: `,
                shown.unmatched_names.map((text, at) => [at ? ", " : "", name(text)]), shown.unmatched > 5 ? ", …" : "") : null),
          ]
        : null,
    );
    if (known && !shown.busy) tell.say(`Of ${devices(shown.selected)} ${count(shown.by_command)} by command, ${count(shown.by_declaration)} by declaration, ${count(barred)} barred, ${count(unknown)} unknown.`);
  }

  model.on("change:form", drawActions);
  model.on("change:fields", drawFields);
  model.on("change:errors", drawFields);
  model.on("change:preview", drawPreview);
  drawActions();
  return () => {
    clearTimeout(timer);
    tell.stop();
    model.off("change:form", drawActions);
    model.off("change:fields", drawFields);
    model.off("change:errors", drawFields);
    model.off("change:preview", drawPreview);
  };
}
export default { render };
