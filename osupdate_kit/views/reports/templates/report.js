// Draws the figures in the reader's colour scheme, light for print, and closes the tables that stand for them.
(() => {
  const darkScheme = matchMedia("(prefers-color-scheme: dark)");
  const PRINT = { width: 680, firstHeight: 280 }; // A4 between its margins, CSS pixels; the first page has much to hold
  const LEAST_PLOT = 180;
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

  // A plot that is left no room by its labels, or stands beside sentences, becomes wider than the screen and is scrolled.
  function onScreenSize(place, { margin, xaxis }) {
    const least = margin.l + margin.r + Math.max(LEAST_PLOT, 1.2 * margin.r);
    const given = figures[place].plot.clientWidth;
    const width = Math.max(least, given);
    return {
      ...(least > given ? { width, autosize: false } : { autosize: true }),
      ...(xaxis?.type === "date" && { xaxis: spaced(xaxis, width - margin.l - margin.r) }),
    };
  }

  // Dates stand upright: where there is little room, every second or third of them.
  function spaced(axis, width) {
    const labels = (axis.range[1] - axis.range[0]) / axis.dtick;
    return { ...axis, dtick: axis.dtick * Math.ceil((labels * TICK_WIDTH) / width), tickangle: 0 };
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
