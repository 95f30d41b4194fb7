// Charts in JupyterLab's dark theme. Its own plotly draws them, light; what differs in the dark is in each one's `meta`.

const isDark = () => document.body.dataset.jpThemeLight === "false";
const dressed = new WeakMap(); // plot → is it dark, and the light values of what differs

/** The plotly by which JupyterLab draws: its extension exports the class that keeps it. */
async function loadPlotly() {
  const open = await globalThis._JUPYTERLAB?.["jupyterlab-plotly"]?.get("./mimeExtension");
  const { RenderedPlotly } = open?.() ?? {};
  await RenderedPlotly?.loadingPlotly;
  return RenderedPlotly?.Plotly;
}

/** Put values at their paths; the values that stood there. */
function exchange(figure, values) {
  return values.map(([path, value]) => {
    const last = path.at(-1);
    const place = path.slice(0, -1).reduce((part, key) => part?.[key], figure);
    if (!place) return [path, value];
    const before = place[last];
    place[last] = value;
    return [path, before];
  });
}

/** One change at a time: a plot that is still being drawn is asked again when it has come to rest. */
async function dress(Plotly, plot) {
  const now = dressed.get(plot) ?? { dark: false, others: plot.layout.meta.dark, busy: false };
  if (now.busy || now.dark === isDark()) return;
  const figure = structuredClone({ data: plot.data, layout: plot.layout });
  const next = { dark: isDark(), others: exchange(figure, now.others), busy: true };
  dressed.set(plot, next);
  try {
    await Plotly.react(plot, figure.data, figure.layout);
  } finally {
    next.busy = false;
  }
  await dress(Plotly, plot);
}

function follow() {
  // What a notebook was saved with is a picture until the mouse comes.
  for (const picture of document.querySelectorAll(".jp-RenderedPlotly > .plot-img[src]:only-child"))
    if (isDark()) picture.dispatchEvent(new MouseEvent("mouseenter"));
  const plots = [...document.querySelectorAll(".jp-RenderedPlotly.js-plotly-plot")].filter(
    (plot) => plot.layout?.meta?.dark && (dressed.get(plot)?.dark ?? false) !== isDark(),
  );
  if (plots.length) loadPlotly().then((Plotly) => Plotly && plots.forEach((plot) => dress(Plotly, plot)));
}

function initialize() {
  let waits = false;
  const soon = () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      follow();
    });
  };
  const themes = new MutationObserver(soon);
  const plots = new MutationObserver((changes) => {
    if (isDark() && changes.some(({ target }) => target.classList?.contains("jp-RenderedPlotly"))) soon();
  });
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  plots.observe(document.body, { childList: true, subtree: true });
  soon();
  return () => {
    themes.disconnect();
    plots.disconnect();
  };
}

export default { initialize };
