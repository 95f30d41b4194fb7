// Draws the figures in the reader's colour scheme, light for print, and closes the tables that stand for them.
(() => {
  const darkScheme = matchMedia("(prefers-color-scheme: dark)");
  const PRINT = { width: 680, firstHeight: 280 }; // A4 between its margins, CSS pixels; the first page has much to hold
  const NARROW = 560;
  const LEAST_PLOT = 96;
  const TICK_WIDTH = 56;

  const figures = [...document.querySelectorAll("figure[data-chart]")].map((element) => {
    const { light, dark } = JSON.parse(element.querySelector("script").textContent);
    return { element, plot: element.querySelector(".plot"), light, dark: patched(light, dark) };
  });

  function patched(figure, differences) {
    const copy = structuredClone(figure);
    for (const [path, value] of differences) {
      const last = path[path.length - 1];
      path.slice(0, -1).reduce((part, key) => part[key], copy)[last] = value;
    }
    return copy;
  }

  // On a narrow screen sentences beside a plot stand in its table only. A plot that is left no room even so becomes
  // wider than the screen and is scrolled.
  function onScreenSize(place, layout) {
    const given = figures[place].plot.clientWidth;
    const { margin, xaxis, annotations } = given < NARROW ? alone(layout) : layout;
    const least = margin.l + margin.r + Math.max(LEAST_PLOT, 0.45 * margin.r);
    const width = Math.max(least, given);
    return {
      margin,
      ...(annotations && { annotations }),
      ...(least > given ? { width, autosize: false } : { autosize: true }),
      ...(xaxis && { xaxis: spaced(xaxis, width - margin.l - margin.r) }),
    };
  }

  function alone(layout) {
    const annotations = layout.annotations?.filter(({ name }) => name !== "beside");
    if (annotations?.length === layout.annotations?.length) return layout;
    return { ...layout, annotations, margin: { ...layout.margin, r: 56 } };
  }

  // Ticks stand upright: where there is little room, every second or third of them.
  function spaced(axis, width) {
    const labels = axis.tickvals?.length ?? (axis.range?.[1] - axis.range?.[0]) / axis.dtick;
    const letters = Math.max(0, ...(axis.ticktext ?? []).flatMap((text) => text.split("<br>")).map((line) => line.length));
    const every = Math.ceil((labels * (letters ? 7 * letters + 8 : TICK_WIDTH)) / width);
    if (!(every > 1)) return axis;
    if (!axis.tickvals) return { ...axis, dtick: axis.dtick * every, tickangle: 0 };
    const some = (list) => list.filter((_, place) => place % every === 0);
    return { ...axis, tickvals: some(axis.tickvals), ticktext: some(axis.ticktext) };
  }

  function draw(theme, size = onScreenSize) {
    figures.forEach(({ plot, ...themes }, place) => {
      const { data, layout } = structuredClone(themes[theme]);
      Plotly.react(plot, data, { ...layout, ...size(place, layout) }, { responsive: true, displayModeBar: false });
    });
  }

  const onScreen = () => draw(darkScheme.matches ? "dark" : "light");
  onScreen();
  for (const { element } of figures) element.querySelector("details").open = false;
  darkScheme.addEventListener("change", onScreen);
  addEventListener("beforeprint", () =>
    draw("light", (place, layout) => ({ width: PRINT.width, height: place ? layout.height : PRINT.firstHeight })),
  );
  addEventListener("afterprint", onScreen);
})();
