(function () {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const variable = /^var\((--[a-z]+)\)$/;

  // Plotly knows no CSS variables: put in what the current theme says.
  function themed(value, style) {
    if (typeof value === "string") {
      const match = variable.exec(value);
      return match ? style.getPropertyValue(match[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => themed(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item, style)]));
    }
    return value;
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    for (const [id, figure] of Object.entries(figures)) {
      Plotly.react(id, themed(figure.data, style), themed(figure.layout, style), {
        displayModeBar: false,
        responsive: true,
      });
    }
  }

  draw();
  // A chart drawn while its details are closed has no width yet.
  for (const details of document.querySelectorAll("details")) {
    details.addEventListener("toggle", () => {
      for (const plot of details.querySelectorAll(".plot")) Plotly.Plots.resize(plot);
    });
  }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
