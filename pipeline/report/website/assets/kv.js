// The scale of a trace's KV figure, for the model that is chosen.
"use strict";

{
  const choice = document.getElementById("kv-model");

  const told = (tokens) => {
    const megabytes = (tokens * Number(choice.value)) / 1e6;
    return megabytes >= 1000 ? `${(megabytes / 1000).toFixed(2)} GB` : `${Math.round(megabytes)} MB`;
  };

  if (choice) {
    choice.addEventListener("change", () => {
      for (const label of document.querySelectorAll("#kv [data-tokens]")) {
        label.textContent = told(Number(label.dataset.tokens));
      }
    });
  }
}
