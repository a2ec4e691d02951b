// The table of traces: its rows come in chunks, each a script that calls addTraces.
"use strict";

const addTraces = (() => {
  const PAGE = 100;
  const table = document.getElementById("traces");
  const body = table.tBodies[0];
  const filters = document.getElementById("filters");
  const headers = [...table.querySelectorAll("thead button")];
  const keys = headers.map((button) => button.dataset.key);
  const rows = [];
  let shown = [];
  let page = 0;
  let sorted = { key: null, down: false };
  let drawing = 0;

  const number = (value, digits) => (value === null ? "" : value.toLocaleString("en", {
    minimumFractionDigits: digits, maximumFractionDigits: digits,
  }));
  const format = {
    blocks: (value) => number(value, 0),
    tokens: (value) => number(value, 0),
    rounds: (value) => number(value, 0),
    lowest: (value) => number(value, 0),
    compression: (value) => (value === null ? "" : `${number(value, 1)}×`),
    points: (value) => number(value, 1),
    seconds: (value) => number(value, 0),
    checks: (value) => value.join(", "),
  };

  const cell = (row, key) => {
    const made = document.createElement("td");
    if (key === "id") {
      const name = row.id ? row.id.slice(0, 12) : "without id";
      const holder = document.createElement(row.path ? "a" : "span");
      if (row.path) {
        holder.href = row.path;
        holder.addEventListener("click", remember);
      }
      holder.textContent = name;
      const about = document.createElement("small");
      about.textContent = row.problem || row.origin;
      made.append(holder, about);
    } else if (key === "outcome") {
      const badge = document.createElement("span");
      badge.className = `badge ${row.state}`;
      badge.textContent = row.state;
      const why = document.createElement("small");
      why.textContent = row.detail;
      made.append(badge, why);
    } else {
      made.textContent = key in format ? format[key](row[key]) : row[key];
      made.className = typeof row[key] === "number" || row[key] === null ? "number" : key;
    }
    return made;
  };

  // So that the keys on a trace's page go through this list.
  function remember() {
    try {
      const paths = shown.filter((row) => row.path).map((row) => row.path);
      const site = new URL(".", location.href).href;
      sessionStorage.setItem(`traces of ${site}`, JSON.stringify(paths));
    } catch {
      // Nothing is kept: the run's own order is used.
    }
  }

  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(page, pages - 1);
    body.replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map((row) => {
      const made = document.createElement("tr");
      made.append(...keys.map((key) => cell(row, key)));
      return made;
    }));
    const count = document.getElementById("count");
    count.textContent = `${shown.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} traces`;
    document.getElementById("page").textContent = `page ${page + 1} of ${pages}`;
    document.getElementById("back").disabled = page === 0;
    document.getElementById("forth").disabled = page >= pages - 1;
    table.setAttribute("aria-busy", "false");
  };

  const within = (value, from, to) =>
    (from === "" || (value !== null && value >= Number(from))) &&
    (to === "" || (value !== null && value <= Number(to)));

  const select = () => {
    const wanted = Object.fromEntries(new FormData(filters));
    const words = wanted.q.toLowerCase().split(/\s+/).filter(Boolean);
    shown = rows.filter((row) =>
      (!wanted.domain || row.domain === wanted.domain) &&
      (!wanted.outcome || row.outcome === wanted.outcome) &&
      (!wanted.check || row.checks.includes(wanted.check)) &&
      within(row.lowest, wanted.points_from, wanted.points_to) &&
      within(row.compression, wanted.compression_from, wanted.compression_to) &&
      within(row.rounds, wanted.rounds_from, "") &&
      words.every((word) => row.searched.includes(word)));
    const { key, down } = sorted;
    if (key) {
      const value = (row) => (Array.isArray(row[key]) ? row[key].length : row[key]);
      shown.sort((one, other) => {
        const a = value(one), b = value(other);
        // What is not known comes last, whichever way the rest is sorted.
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === "number" ? a - b : String(a).localeCompare(String(b));
        return down ? -order : order;
      });
    }
    draw();
  };

  const later = () => {
    table.setAttribute("aria-busy", "true");
    cancelAnimationFrame(drawing);
    drawing = requestAnimationFrame(select);
  };

  const state = () => {
    const told = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value));
    if (sorted.key) told.set("sort", (sorted.down ? "-" : "") + sorted.key);
    const hash = told.toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  };

  const offer = (name, value) => {
    const field = filters.elements[name];
    if (!value || [...field.options].some((option) => option.value === value)) return;
    const option = new Option(value, value);
    const after = [...field.options].slice(1).find((one) => one.value > value);
    field.insertBefore(option, after || null);
    if (asked.get(name) === value) field.value = value;
  };

  // What an address asks for; of a choice that no row has offered yet it is kept until one does.
  let asked = new URLSearchParams();
  const readAddress = () => {
    asked = new URLSearchParams(location.hash.slice(1));
    for (const field of filters.elements) {
      if (field.name) field.value = asked.get(field.name) || "";
    }
    const sort = asked.get("sort") || "";
    const key = sort.replace(/^-/, "");
    sorted = keys.includes(key) ? { key, down: sort.startsWith("-") } : { key: null, down: false };
    tellOrder();
  };

  const tellOrder = () => {
    for (const button of headers) {
      const order = button.dataset.key !== sorted.key ? "none" : sorted.down ? "descending" : "ascending";
      button.closest("th").setAttribute("aria-sort", order);
    }
  };
  readAddress();
  later();
  addEventListener("hashchange", () => {
    page = 0;
    readAddress();
    later();
  });

  const changed = () => {
    page = 0;
    asked = new URLSearchParams();
    state();
    later();
  };
  filters.addEventListener("input", changed);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(changed));
  for (const button of headers) {
    button.addEventListener("click", () => {
      const again = sorted.key === button.dataset.key;
      sorted = { key: button.dataset.key, down: again ? !sorted.down : false };
      tellOrder();
      changed();
    });
  }

  const turn = (by) => {
    page = Math.max(0, page + by);
    draw();
    table.scrollIntoView({ block: "nearest" });
  };
  document.getElementById("back").addEventListener("click", () => turn(-1));
  document.getElementById("forth").addEventListener("click", () => turn(1));

  const stepRow = (by) => {
    const links = [...body.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    const next = links[at < 0 ? 0 : at + by];
    if (next) next.focus();
  };
  pageKeys.set("/", () => filters.elements.q.focus());
  pageKeys.set("j", () => stepRow(1));
  pageKeys.set("k", () => stepRow(-1));
  pageKeys.set("n", () => turn(1));
  pageKeys.set("p", () => turn(-1));

  return (names, values) => {
    for (const value of values) {
      const row = Object.fromEntries(names.map((name, at) => [name, value[at]]));
      row.searched = `${row.id} ${row.problem} ${row.source} ${row.origin} ${row.detail}`.toLowerCase();
      rows.push(row);
      offer("domain", row.domain);
      offer("outcome", row.outcome);
      row.checks.forEach((check) => offer("check", check));
    }
    later();
  };
})();
