// Draws the figures of the tutorial: each one's data stands beside it on the page.
for (const place of document.querySelectorAll(".figure")) {
  const { data, layout } = JSON.parse(place.querySelector("script").textContent);
  Plotly.newPlot(place, data, layout, { responsive: true, displayModeBar: false });
}
