// What a run is doing right now, where `openmementos view` serves the page: read again while it works.
"use strict";

{
  const panel = document.getElementById("live");
  const PAUSE = 2000;
  const PAUSE_BETWEEN_RUNS = 15000;

  const text = (tag, told, name) => {
    const made = document.createElement(tag);
    made.textContent = told;
    if (name) made.className = name;
    return made;
  };
  const duration = (seconds) => {
    if (seconds === null || seconds === undefined) return "";
    const minutes = Math.floor(seconds / 60);
    return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  };
  const rate = (perSecond) => {
    if (!perSecond) return "";
    return perSecond >= 1 ? `${perSecond.toFixed(1)}/s` : `${(perSecond * 60).toFixed(1)}/min`;
  };
  const whole = (value) => (value ? Math.round(value).toLocaleString("en") : "0");

  const row = (stage) => {
    const made = document.createElement("tr");
    const name = text("th", stage.verb);
    name.scope = "row";
    const done = document.createElement("td");
    const bar = document.createElement("progress");
    bar.max = Math.max(1, stage.expected);
    bar.value = stage.done;
    bar.setAttribute("aria-label", stage.verb);
    done.append(bar, text("span", ` ${whole(stage.done)} of ${whole(stage.expected)}`));
    made.append(
      name, done,
      text("td", rate(stage.rate), "number"),
      text("td", duration(stage.eta_seconds), "number"),
      text("td", whole(stage.running), "number"),
      text("td", `${whole(stage.prompt_tokens_per_second)} + ${whole(stage.completion_tokens_per_second)}`, "number"),
      text("td", stage.cached_share === null ? "" : `${Math.round(stage.cached_share * 100)} %`, "number"),
      text("td", whole(stage.rejected), "number"),
      text("td", whole(stage.failed), "number"),
    );
    return made;
  };

  const show = (status) => {
    panel.hidden = false;
    // Written every second while the run works: an old one is of a run that was killed.
    const silent = (Date.now() - Date.parse(status.at)) / 1000;
    const gone = status.state === "working" && silent > 30;
    panel.querySelector(".state").textContent = gone ? `no word for ${duration(silent)}` : status.state;
    panel.querySelector(".step").textContent = status.error || status.step;
    panel.querySelector(".cost").textContent = status.cost === null ? "" : `cost so far ${status.cost.toFixed(2)}`;
    panel.querySelector("tbody").replaceChildren(...status.stages.map(row));
    return status.state === "working";
  };

  const look = async () => {
    let works = false;
    try {
      const answer = await fetch("/status.json", { cache: "no-store" });
      works = answer.status === 200 && show(await answer.json());
    } catch {
      panel.querySelector(".state").textContent = "the viewer does not answer";
    }
    setTimeout(look, works ? PAUSE : PAUSE_BETWEEN_RUNS);
  };
  if (panel && location.protocol.startsWith("http")) look();
}
