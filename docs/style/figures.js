// Draws the figures of the tutorial, whose data stands beside them on the page, in the colours of the page's scheme. On a
// phone they are wider than the screen, and scrolled.
const LEAST_WIDTH = 640;
const figures = [...document.querySelectorAll(".figure")].map((place) => {
  const light = JSON.parse(place.querySelector("script").textContent);
  const dark = structuredClone(light);
  for (const [path, value] of light.layout.meta?.dark ?? []) {
    path.slice(0, -1).reduce((part, key) => part[key], dark)[path.at(-1)] = value;
  }
  return { place, light, dark };
});

function draw() {
  const theme = document.body.dataset.mdColorScheme === "slate" ? "dark" : "light";
  for (const { place, ...themes } of figures) {
    const { data, layout } = structuredClone(themes[theme]);
    const narrow = place.clientWidth < LEAST_WIDTH && { width: LEAST_WIDTH, autosize: false };
    Plotly.react(place, data, { ...layout, ...narrow }, { responsive: !narrow, displayModeBar: false });
  }
}

draw();
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["data-md-color-scheme"] });
