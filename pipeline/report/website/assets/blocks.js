// A trace's page: steps through its blocks, and to the next trace of the list that the reader came from.
"use strict";

// The block that keys are about: the focused one while it can be seen, else the one that fills most of the window.
function currentBlock() {
  const seen = (block) => {
    const { top, bottom } = block.getBoundingClientRect();
    return Math.max(0, Math.min(bottom, innerHeight) - Math.max(top, 0));
  };
  const focused = document.activeElement && document.activeElement.closest(".block");
  if (focused && seen(focused)) return focused;
  const blocks = [...document.querySelectorAll(".block")].filter(seen);
  return blocks.reduce((most, block) => (most && seen(most) >= seen(block) ? most : block), null);
}

{
  const blocks = [...document.querySelectorAll(".block")];

  const show = (block) => {
    if (!block) return;
    block.focus({ preventScroll: true });
    block.scrollIntoView({ block: "start" });
    history.replaceState(null, "", `#${block.id}`);
  };
  // Before the first step no block has the focus, and the first one counts as the next.
  const step = (among, by) => {
    const focused = document.activeElement && document.activeElement.closest(".block");
    const at = focused ? blocks.indexOf(focused) : by > 0 ? -1 : blocks.length;
    const rest = by > 0 ? blocks.slice(at + 1) : blocks.slice(0, at).reverse();
    show(rest.find((block) => among(block)));
  };

  const follow = (rel) => {
    const link = document.querySelector(`.neighbours a[rel=${rel}]`);
    if (link) link.click();
  };

  // The list's own order, filters included, where the reader came from it.
  const lead = (rel, path, name) => {
    const links = document.querySelector(".neighbours");
    let link = links.querySelector(`a[rel=${rel}]`);
    if (!path) {
      if (link) link.remove();
      return;
    }
    if (!link) {
      link = document.createElement("a");
      link.rel = rel;
      link.textContent = name;
      if (rel === "prev") links.prepend(link);
      else links.append(link);
    }
    link.href = document.body.dataset.root + path;
  };
  try {
    const site = new URL(document.body.dataset.root, location.href).href;
    const order = JSON.parse(sessionStorage.getItem(`traces of ${site}`) || "[]");
    const at = order.findIndex((path) => site + path === location.href.split("#")[0]);
    if (at >= 0) {
      lead("prev", order[at - 1], "← previous");
      lead("next", order[at + 1], "next →");
      const place = document.createElement("span");
      place.textContent = `${at + 1} of ${order.length} in your list`;
      document.querySelector(".neighbours").append(place);
    }
  } catch {
    // A browser that keeps nothing for pages from disk: the run's own order stays.
  }

  const any = () => true;
  pageKeys.set("j", () => follow("next"));
  pageKeys.set("k", () => follow("prev"));
  pageKeys.set("t", () => follow("up"));
  pageKeys.set("]", () => step(any, 1));
  pageKeys.set("[", () => step(any, -1));
  pageKeys.set("f", () => step((block) => block.classList.contains("is-flagged"), 1));
  pageKeys.set("r", () => {
    const block = currentBlock();
    const rounds = block && block.querySelector("details");
    if (rounds) rounds.open = !rounds.open;
  });
}
